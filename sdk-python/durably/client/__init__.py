"""Starting workflows and talking to them, from any program.

`Client.connect` takes ``"localhost:7233"`` for a server on the network, ``"embedded:"`` for one in this process with
its state in memory, or ``"embedded:PATH"`` with its state in a file. Everything else is the same for all three.
"""

from durably.client._activity_handle import AsyncActivityHandle, AsyncActivityIDReference
from durably.client._client import Client, ClientConfig
from durably.client._errors import (
    AsyncActivityCancelledError,
    RPCTimeoutOrCancelledError,
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from durably.client._executions import (
    WorkflowExecution,
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionCount,
    WorkflowExecutionCountAggregationGroup,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
)
from durably.client._history import WorkflowHistory, WorkflowHistoryEventAsyncIterator, WorkflowHistoryEventFilterType
from durably.client._start import StartWorkflowOptions
from durably.client._updates import WorkflowUpdateHandle, WorkflowUpdateStage
from durably.client._with_start import WithStartWorkflowOperation
from durably.client._workflow_handle import WorkflowHandle
from durably.exceptions import WorkflowAlreadyStartedError
from durably.service import KeepAliveConfig, RetryConfig, RPCError, RPCStatusCode, ServiceClient, TLSConfig

__all__ = [
    "AsyncActivityCancelledError",
    "AsyncActivityHandle",
    "AsyncActivityIDReference",
    "Client",
    "ClientConfig",
    "KeepAliveConfig",
    "RPCError",
    "RPCStatusCode",
    "RPCTimeoutOrCancelledError",
    "RetryConfig",
    "ServiceClient",
    "StartWorkflowOptions",
    "TLSConfig",
    "WithStartWorkflowOperation",
    "WorkflowAlreadyStartedError",
    "WorkflowContinuedAsNewError",
    "WorkflowExecution",
    "WorkflowExecutionAsyncIterator",
    "WorkflowExecutionCount",
    "WorkflowExecutionCountAggregationGroup",
    "WorkflowExecutionDescription",
    "WorkflowExecutionStatus",
    "WorkflowFailureError",
    "WorkflowHandle",
    "WorkflowHistory",
    "WorkflowHistoryEventAsyncIterator",
    "WorkflowHistoryEventFilterType",
    "WorkflowQueryFailedError",
    "WorkflowQueryRejectedError",
    "WorkflowUpdateFailedError",
    "WorkflowUpdateHandle",
    "WorkflowUpdateRPCTimeoutOrCancelledError",
    "WorkflowUpdateStage",
]
