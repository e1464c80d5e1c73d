#!/usr/bin/env bash
# The steps of an order, as an activity worker in bash, curl and jq: asks the sidecar for a step, takes it, says how it ended.
#
#   steps.sh SOCKET LEDGER
#
# SOCKET is the sidecar's Unix socket: whoever may open it needs no token. LEDGER is the payment provider's book, a file of one request
# per line. One process takes one step at a time; start as many as you like. docs/sidecar.md describes the requests.
#
# The steps stand in for real services and misbehave as those do. A step may be run more than once, for example when the process dies
# between doing it and saying so; so the one that must not happen twice, `charge`, has an idempotency key: the order's id.
set -u
socket=$1
ledger=$2
# A name that nobody else has: what this process takes is its own.
application="$(hostname)-$$-$(date +%s)"

# post WHAT BODY: one request. Prints the answer; fails with 22 if it is a refusal, with another code if the sidecar is not there.
post() {
    curl --silent --fail-with-body --max-time 90 --unix-socket "$socket" --header 'content-type: application/json' --data "$2" \
        "http://sidecar/v1/task-queues/orders/applications/$application/$1"
}

# heartbeat DETAILS: says that this step is alive, and where it is. Fails if the step should stop.
heartbeat() {
    local answer
    answer=$(post activity-heartbeats "{\"taskToken\": \"$token\", \"details\": [$1]}")
    jq -e 'has("cancel") | not' <<<"$answer" >/dev/null
}

# How a step ends, as a JSON object: with a result, with an error that is tried again, or with one that no retry will change.
completed() { echo "{\"completed\": {\"result\": ${1:-null}}}"; }
failed() { jq -nc --arg type "$1" --arg message "$2" '{failed: {message: $message, applicationFailureInfo: {type: $type}}}'; }
refused() {
    jq -nc --arg type "$1" --arg message "$2" '{failed: {message: $message, applicationFailureInfo:
        {type: $type, nonRetryable: true, category: "APPLICATION_ERROR_CATEGORY_BENIGN"}}}'
}
cancelled() { echo '{"cancelled": {"message": "cancelled", "canceledFailureInfo": {}}}'; }

# The steps. $input is the JSON list of their arguments.

# Checks the order; its result is the order's value in cents.
validate() {
    if jq -e '.[0].items | length == 0 or any(.count < 1)' <<<"$input" >/dev/null; then
        refused InvalidOrder "an order needs at least one item"
    else
        completed "$(jq '.[0].items | map(.count * .price_cents) | add' <<<"$input")"
    fi
}

# Charges the card. An order is charged with its first request in the ledger; later ones find it charged.
charge() {
    local card order
    { read -r card; read -r order; } < <(jq -r '.[0] | .card, .order_id' <<<"$input")
    if [[ $card == *0002 ]]; then
        refused CardDeclined "card declined"
        return
    fi
    jq -c '.[0] | {what: "charge", key: .order_id, cents: .cents}' <<<"$input" >>"$ledger"
    if [[ $card == *5 && $(grep -c "^{\"what\":\"charge\",\"key\":\"$order\"" "$ledger") == 1 ]]; then
        # The money is taken, the answer is lost. The retry policy asks again, with the same key.
        failed ConnectionError "payment provider: connection reset"
        return
    fi
    maybe_die "$order"
    completed
}

# Undoes `charge`.
refund() {
    jq -c '.[0] | {what: "refund", key: .order_id}' <<<"$input" >>"$ledger"
    completed
}

# Sets the goods aside.
reserve() {
    if jq -e '.[1] | any(.sku == "unobtainium")' <<<"$input" >/dev/null; then
        refused OutOfStock "unobtainium is out of stock"
    else
        completed
    fi
}

# Undoes `reserve`.
release() { completed; }

# Asks the carrier whether it goes there.
check_address() {
    local address
    address=$(jq -r '.[0]' <<<"$input")
    if [[ $address == *Atlantis* ]]; then refused Unreachable "no carrier goes to $address"; else completed; fi
}

# Hands the parcel to the carrier; its result is the tracking number.
ship() {
    local address
    address=$(jq -r '.[1]' <<<"$input")
    if [[ $address == *Atlantis* ]]; then
        refused Unreachable "no carrier goes to $address"
    # A carrier may take a while, and this is how the server knows that we are still at it.
    elif heartbeat '"waiting for the carrier"'; then
        completed "$(jq '"parcel-" + .[0]' <<<"$input")"
    else
        cancelled
    fi
}

# Writes to the customer.
send_receipt() { completed; }

# With charge number DIE_AT, kills the processes that the file PROCESSES lists, itself included: the money is taken, nobody was told.
maybe_die() {
    [[ -n ${DIE_AT:-} ]] || return
    local charges
    charges=$(grep -o '^{"what":"charge","key":"[^"]*"' "$ledger" | sort -u | wc -l)
    # One of us is the killer: the one that takes the list.
    if ((charges >= DIE_AT)) && mv "$PROCESSES" "$PROCESSES.dying" 2>/dev/null; then
        echo "The money of order $1 is taken; sidecar and applications die before they can say so." >&2
        # The last one listed is the main program. Stopped first, it can't see the others die and tidy up.
        kill -STOP "$(tail -n 1 "$PROCESSES.dying")"
        xargs kill -9 <"$PROCESSES.dying"
    fi
}

while true; do
    event=$(post 'poll?workflows=false&wait=30s' '{}')
    case $? in
        0) ;;
        22)
            # The server is away for the moment, or the configuration lacks the task queue.
            jq -r '"steps.sh: " + .error.message' <<<"$event" >&2
            sleep 1
            continue
            ;;
        *) echo "steps.sh: no sidecar at $socket" >&2 && exit 1 ;;
    esac
    case $event in
        '{"activityStart"'*)
            { read -r token; read -r step; read -r input; } < <(
                jq -r '.activityStart | .taskToken, .activityType, (.input // [] | tojson)' <<<"$event"
            )
            case $step in
                validate | charge | refund | reserve | release | check_address | ship | send_receipt) answer=$("$step") ;;
                *) answer=$(refused NotFound "no step $step in steps.sh") ;;
            esac
            # If this is refused, the answer came too late, and the step is somebody else's by now.
            post activity-completions "{\"taskToken\": \"$token\", ${answer#\{}" >/dev/null
            ;;
        '{"shutDown"'*) exit 0 ;;
        # Nothing within 30 seconds; or that a step should stop, which it hears with its next heartbeat.
        *) ;;
    esac
done
