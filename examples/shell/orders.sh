#!/usr/bin/env bash
# Orders that survive a crash, with their steps in shell: the main program.
#
#   orders.sh orders.jsonl --state orders.db                   # run all orders to their end
#   orders.sh orders.jsonl --state orders.db --crash-midway    # die with SIGKILL when half of them are paid
#   orders.sh orders.jsonl --state orders.db                   # … and go on from there
#
# Three kinds of process share the work: `durably sidecar` holds the server and its state file; four copies of steps.sh take the steps,
# through its Unix socket; and the program of examples/java decides which step comes next, over TCP. A step needs no memory, which is what
# shell is good at. A workflow keeps its place between two steps, which is what shell is not good at; and the Java program needs nothing
# but the same sidecar.
#
# CLASSES says where examples/java is compiled to (javac -d CLASSES examples/java/*.java), DURABLY which binary is the sidecar.
set -eu
state='' ledger='' crash='' arguments=()
while (($#)); do
    case $1 in
        --crash-midway) crash=yes ;;
        --state) state=$2 ;;
        --ledger) ledger=$2 ;;
    esac
    [[ $1 == --crash-midway ]] || arguments+=("$1")
    shift
done
if [[ -z $state ]]; then
    echo "usage: orders.sh ORDERS.jsonl --state FILE [--crash-midway]" >&2
    exit 2
fi
orders=${arguments[0]}
ledger=${ledger:-$state.ledger}
here=$(dirname "$0")

# The sidecar, with both doors: TCP for Java, which can't open a Unix socket with its HTTP client.
(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$state.token")
cat >"$state.sidecar.toml" <<TOML
[connect]
target = "embedded:$state"
[listen]
unix = "$state.sidecar.sock"
tcp = "127.0.0.1:0"
token_file = "$state.token"
[[worker]]
task_queue = "orders"
TOML
rm -f "$state.ready"
mkfifo "$state.ready"
"${DURABLY:-durably}" sidecar --config "$state.sidecar.toml" >"$state.ready" 2>>"$state.log" &
processes=($!)
trap 'kill "${processes[@]}" 2>/dev/null; wait' EXIT
# "durably sidecar is listening on 127.0.0.1:PORT, unix:SOCKET"
read -r ready <"$state.ready" || { echo "the sidecar did not start; $state.log says why" >&2; exit 1; }
address=${ready#*listening on }

if [[ -n $crash ]]; then
    export DIE_AT=$(($(grep -c . "$orders") / 2)) PROCESSES="$state.processes"
    rm -f "$PROCESSES"
fi
touch "$ledger"
for _ in 1 2 3 4; do
    "$here/steps.sh" "$state.sidecar.sock" "$ledger" &
    processes+=($!)
done
java -cp "$CLASSES" Orders "${arguments[@]}" --sidecar "${address%%,*}" --token-file "$state.token" &
application=$!
processes+=("$application")
[[ -z $crash ]] || printf '%s\n' "${processes[@]}" $$ >"$PROCESSES"

wait "$application"
