"""Why a workflow doesn't go on, asked of the server: `python why.py TARGET WORKFLOW_ID`. docs/troubleshooting.md shows it."""

# snippet: why
import asyncio
import sys

from durably.api.enums.v1 import TaskQueueType
from durably.api.taskqueue.v1 import TaskQueue
from durably.api.workflowservice.v1 import DescribeTaskQueueRequest
from durably.client import Client


async def main(target: str, workflow_id: str) -> None:
    client = await Client.connect(target)
    run = await client.get_workflow_handle(workflow_id).describe()
    print(f"{workflow_id} is {run.status.name}, on the queue {run.task_queue}")
    kinds = {"workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY}
    for name, kind in kinds.items():
        request = DescribeTaskQueueRequest(
            namespace=client.namespace, task_queue=TaskQueue(name=run.task_queue), task_queue_type=kind
        )
        queue = await client.workflow_service.describe_task_queue(request)
        print(f"workers that ask it for {name} tasks: {[poller.identity for poller in queue.pollers] or 'none'}")
    if task := run.raw_description.pending_workflow_task:
        print(f"a workflow task is pending, attempt {task.attempt}")
    for activity in run.raw_description.pending_activities:
        failure = activity.last_failure.message if activity.last_failure else "none"
        print(f"activity {activity.activity_type.name}, attempt {activity.attempt}, last failure: {failure}")
    await client.close()


asyncio.run(main(*sys.argv[1:]))
# end snippet
