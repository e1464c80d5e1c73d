"""Workers: they run workflows and activities of one task queue."""

from durably.worker._replayer import Replayer, WorkflowReplayResult, WorkflowReplayResults
from durably.worker._worker import UnsandboxedWorkflowRunner, Worker

__all__ = [
    "Replayer",
    "UnsandboxedWorkflowRunner",
    "Worker",
    "WorkflowReplayResult",
    "WorkflowReplayResults",
]
