#!/usr/bin/env bash
# The second terminal of docs/sidecar.md, by curl alone; test_sidecar.py runs it beside a sidecar.
set -euo pipefail
# snippet: ask
ask() { curl --silent --show-error --fail-with-body --unix-socket sidecar.sock "$@"; echo; }
pick() { sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
ask http://sidecar/v1/health
# end snippet
# snippet: begin
ask http://sidecar/v1/workflows --data '{"workflowId": "greet-ann", "workflowType": "Greeting",
    "taskQueue": "greetings", "arguments": ["Ann"], "workflowTaskTimeout": "120s"}'
# end snippet
# snippet: decide
me=http://sidecar/v1/task-queues/greetings/applications/terminal-1
event=$(ask --request POST $me/poll)
echo "$event"
run=$(pick runId <<<"$event")
ask $me/workflow-completions --data '{"runId": "'"$run"'", "success": {"commands": [{"scheduleActivity":
    {"seq": 1, "activityType": "greet", "arguments": ["Ann"], "startToCloseTimeout": "600s"}}]}}'
# end snippet
# snippet: update
ask http://sidecar/v1/workflows/greet-ann/updates/be-kind --data '{"updateId": "kind-1", "arguments": ["very"]}' &
event=$(ask --request POST "$me/poll?activities=false")
echo "$event"
update=$(pick id <<<"$event")
ask $me/workflow-completions --data '{"runId": "'"$run"'", "success": {"commands": [
    {"updateAnswer": {"id": "'"$update"'", "accepted": {}}},
    {"updateAnswer": {"id": "'"$update"'", "succeeded": "It will be very kind."}}]}}'
wait
ask http://sidecar/v1/workflows/greet-ann/update-results/kind-1
# end snippet
# snippet: act
event=$(ask --request POST $me/poll)
echo "$event"
token=$(pick taskToken <<<"$event")
ask $me/activity-completions --data '{"taskToken": "'"$token"'", "completed": {"result": "Hello, Ann!"}}'
# end snippet
# snippet: end
ask --request POST $me/poll
ask $me/workflow-completions --data '{"runId": "'"$run"'", "success": {"commands": [{"completeWorkflow":
    {"result": "Hello, Ann!"}}]}}'
# end snippet
# snippet: with_start
ask --request POST $me/poll
ask http://sidecar/v1/update-with-start --data '{"workflowId": "greet-bob", "workflowType": "Greeting",
    "taskQueue": "greetings", "arguments": ["Bob"], "updateName": "be-kind", "updateId": "kind-2",
    "workflowIdConflictPolicy": "WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING"}' &
event=$(ask --request POST $me/poll)
echo "$event"
run=$(pick runId <<<"$event")
update=$(pick id <<<"$event")
ask $me/workflow-completions --data '{"runId": "'"$run"'", "success": {"commands": [{"updateAnswer":
    {"id": "'"$update"'", "rejected": {"message": "Bob is greeted by others."}}}, {"completeWorkflow": {}}]}}'
wait
# end snippet
# snippet: look
ask http://sidecar/v1/workflows/greet-ann
ask http://sidecar/v1/workflows/greet-ann/history
ask http://sidecar/v1/workflow-count
ask http://sidecar/v1/calls/DescribeTaskQueue --data '{"taskQueue": {"name": "greetings"}}'
ask --request DELETE $me
# end snippet
# snippet: token
curl --silent --header "Authorization: Bearer $(cat sidecar.token)" http://127.0.0.1:7280/v1/workflows/greet-ann/result
# end snippet
