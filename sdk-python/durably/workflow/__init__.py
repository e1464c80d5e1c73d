"""Workflows: code that survives crashes because every step is in a history from which it is replayed.

Define one with `@workflow.defn` on a class and `@workflow.run` on an `async def` method::

    @workflow.defn
    class Greeting:
        @workflow.run
        async def run(self, name: str) -> str:
            return await workflow.execute_activity(greet, name, start_to_close_timeout=timedelta(seconds=10))

asyncio is at hand as usual: tasks, gather, TaskGroup, timeouts, queues, locks. So are `time`, `random`, `uuid` and
`datetime.now`, which answer deterministically. What talks to the world belongs in activities.

Not in this release: local activities, patching, upserts of search attributes and memo, Nexus, metrics. Whoever
uses one of their names fails the run with an error that says so.
"""

from typing import TYPE_CHECKING

from durably import _absent
from durably.workflow._activities import (
    ActivityCancellationType,
    ActivityConfig,
    ActivityHandle,
    execute_activity,
    execute_activity_class,
    execute_activity_method,
    start_activity,
    start_activity_class,
    start_activity_method,
)
from durably.workflow._asyncio import as_completed, wait
from durably.workflow._children import (
    ChildWorkflowCancellationType,
    ChildWorkflowConfig,
    ChildWorkflowHandle,
    ParentClosePolicy,
    execute_child_workflow,
    start_child_workflow,
)
from durably.workflow._definition import _Definition as _Definition
from durably.workflow._definition import defn, init, run
from durably.workflow._exceptions import (
    ContinueAsNewError,
    NondeterminismError,
    ReadOnlyContextError,
    UnfinishedSignalHandlersWarning,
    UnfinishedUpdateHandlersWarning,
)
from durably.workflow._external import (
    ExternalWorkflowHandle,
    get_external_workflow_handle,
    get_external_workflow_handle_for,
)
from durably.workflow._functions import (
    all_handlers_finished,
    cancellation_reason,
    continue_as_new,
    current_update_info,
    get_current_details,
    get_dynamic_query_handler,
    get_dynamic_signal_handler,
    get_dynamic_update_handler,
    get_last_completion_result,
    get_last_failure,
    get_query_handler,
    get_signal_handler,
    get_update_handler,
    has_last_completion_result,
    in_workflow,
    info,
    instance,
    is_failure_exception,
    memo,
    memo_value,
    new_random,
    now,
    payload_converter,
    random,
    random_seed,
    set_current_details,
    set_dynamic_query_handler,
    set_dynamic_signal_handler,
    set_dynamic_update_handler,
    set_query_handler,
    set_signal_handler,
    set_update_handler,
    sleep,
    time,
    time_ns,
    unsafe,
    uuid4,
    wait_condition,
)
from durably.workflow._handlers import HandlerUnfinishedPolicy, UpdateMethodMultiParam
from durably.workflow._handlers import _QueryDefinition as _QueryDefinition
from durably.workflow._handlers import _SignalDefinition as _SignalDefinition
from durably.workflow._handlers import _UpdateDefinition as _UpdateDefinition
from durably.workflow._handlers import query, signal, update
from durably.workflow._log import LoggerAdapter, logger
from durably.workflow._runtime import Info, ParentInfo, RootInfo, UpdateInfo

__all__ = [
    "ActivityCancellationType",
    "ActivityConfig",
    "ActivityHandle",
    "ChildWorkflowCancellationType",
    "ChildWorkflowConfig",
    "ChildWorkflowHandle",
    "ContinueAsNewError",
    "ExternalWorkflowHandle",
    "HandlerUnfinishedPolicy",
    "Info",
    "LoggerAdapter",
    "NondeterminismError",
    "ParentClosePolicy",
    "ParentInfo",
    "ReadOnlyContextError",
    "RootInfo",
    "UnfinishedSignalHandlersWarning",
    "UnfinishedUpdateHandlersWarning",
    "UpdateInfo",
    "UpdateMethodMultiParam",
    "all_handlers_finished",
    "as_completed",
    "cancellation_reason",
    "continue_as_new",
    "current_update_info",
    "defn",
    "execute_activity",
    "execute_activity_class",
    "execute_activity_method",
    "execute_child_workflow",
    "get_current_details",
    "get_dynamic_query_handler",
    "get_dynamic_signal_handler",
    "get_dynamic_update_handler",
    "get_external_workflow_handle",
    "get_external_workflow_handle_for",
    "get_last_completion_result",
    "get_last_failure",
    "get_query_handler",
    "get_signal_handler",
    "get_update_handler",
    "has_last_completion_result",
    "in_workflow",
    "info",
    "init",
    "instance",
    "is_failure_exception",
    "logger",
    "memo",
    "memo_value",
    "new_random",
    "now",
    "payload_converter",
    "query",
    "random",
    "random_seed",
    "run",
    "set_current_details",
    "set_dynamic_query_handler",
    "set_dynamic_signal_handler",
    "set_dynamic_update_handler",
    "set_query_handler",
    "set_signal_handler",
    "set_update_handler",
    "signal",
    "sleep",
    "start_activity",
    "start_activity_class",
    "start_activity_method",
    "start_child_workflow",
    "time",
    "time_ns",
    "unsafe",
    "update",
    "uuid4",
    "wait",
    "wait_condition",
]

if not TYPE_CHECKING:
    __getattr__ = _absent.getter("workflow", _absent.WORKFLOW)
