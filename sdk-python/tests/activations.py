"""Drives one `WorkflowInstance` with hand-made activations, as the core would."""

from __future__ import annotations

from typing import Any

from durably import _messages as msg
from durably import converter
from durably.worker._workflow_instance import InstanceOptions, WorkflowInstance
from durably.workflow import _Definition

PAYLOADS = converter.PayloadConverter.default
START = 1_700_000_000


def payload(value: Any) -> Any:
    return PAYLOADS.to_payload(value)


class Run:
    """One run of a workflow class. Each method that moves it on returns the commands of that activation."""

    def __init__(self, workflow: type[Any], *args: Any, seed: int = 7, **options: Any) -> None:
        options.setdefault("payload_converter", PAYLOADS)
        options.setdefault("failure_converter", converter.FailureConverter.default)
        self.definition = _Definition.must_from_class(workflow)
        self.instance = WorkflowInstance(self.definition, InstanceOptions(**options))
        self.args, self.seed = args, seed
        self.now: float = START
        self.replaying = False
        self.flags: list[int] = []
        self.completion: Any = None
        self.trace: list[str] = []

    def start(self, *jobs: Any, **fields: Any) -> list[Any]:
        start = msg.InitializeWorkflow(
            workflow_type=self.definition.name or "Dynamic",
            workflow_id="wf",
            arguments=[payload(a) for a in self.args],
            randomness_seed=self.seed,
            task_queue="tq",
            namespace="default",
            attempt=1,
            **fields,
        )
        return self.activate(msg.WorkflowJob(initialize=start), *jobs)

    def activate(self, *jobs: Any, after: float = 1) -> list[Any]:
        self.now += after
        activation = msg.WorkflowActivation(
            run_id="run",
            timestamp=msg.Timestamp(seconds=int(self.now), nanos=int(self.now % 1 * 1e9)),
            is_replaying=self.replaying,
            available_flags=self.flags,
            history_length=10,
            jobs=list(jobs),
        )
        self.completion = self.instance.activate(activation)
        if self.completion.success is None:
            return []
        commands: list[Any] = self.completion.success.commands
        self.trace += [describe(command) for command in commands]
        return commands

    def fails(self, *jobs: Any) -> str:
        """Activates, and returns the message of the task failure that must follow."""
        self.activate(*jobs)
        assert self.completion.failure is not None, self.completion
        failure = self.completion.failure.failure
        return f"{failure.application_failure_info.type if failure.application_failure_info else ''}: {failure.message}"

    @property
    def result(self) -> Any:
        """What the workflow returned, in the last activation."""
        done = [c.complete_workflow for c in self.completion.success.commands if c.complete_workflow is not None]
        assert done, self.completion
        return PAYLOADS.from_payload(done[0].result)

    def failure(self) -> Any:
        failed = [c.fail_workflow.failure for c in self.completion.success.commands if c.fail_workflow is not None]
        assert failed, self.completion
        return failed[0]


def started(kind: type[Any], *args: Any) -> Run:
    """A run that has begun, with an empty trace."""
    run = Run(kind, *args)
    run.start()
    assert run.completion.success is not None, run.completion
    run.trace.clear()
    return run


def describe(command: Any) -> str:
    """A command in one line, for comparing runs."""
    if command.schedule_activity is not None:
        activity = command.schedule_activity
        return f"activity {activity.seq} {activity.activity_type} {[p.data.decode() for p in activity.arguments]}"
    if command.start_timer is not None:
        duration = command.start_timer.start_to_fire_timeout
        return f"timer {command.start_timer.seq} {duration.seconds + duration.nanos / 1e9}"
    if command.update_answer is not None:
        answer = command.update_answer
        kind = answer.WhichOneof("answer")
        said = {
            "accepted": lambda: "",
            "succeeded": lambda: answer.succeeded.data.decode(),
            "rejected": lambda: answer.rejected.message,
            "failed": lambda: answer.failed.message,
        }
        return f"{answer.id} {kind} {said[kind]()}".strip()
    for name in command._fields:
        value = getattr(command, name)
        if value is not None and name not in ("user_metadata", "location"):
            return f"{name} {getattr(value, 'seq', '')}".strip()
    return "nothing"


def fire(seq: int) -> Any:
    return msg.WorkflowJob(fire_timer=msg.FireTimer(seq=seq))


def resolve(seq: int, value: Any = None) -> Any:
    result = msg.ActivityResolution(completed=msg.ActivitySuccess(result=payload(value)))
    return msg.WorkflowJob(resolve_activity=msg.ResolveActivity(seq=seq, result=result))


def reject(seq: int, message: str = "no", *, cancelled: bool = False) -> Any:
    cause = (
        msg.Failure(message="cancelled", canceled_failure_info=msg.CanceledFailureInfo())
        if cancelled
        else msg.Failure(message=message, application_failure_info=msg.ApplicationFailureInfo(type="Boom"))
    )
    info = msg.ActivityFailureInfo(activity_type=msg.ActivityType(name="a"), activity_id=str(seq), retry_state=5)
    failure = msg.Failure(message="activity error", activity_failure_info=info, cause=cause)
    result = msg.ActivityResolution(cancelled=failure) if cancelled else msg.ActivityResolution(failed=failure)
    return msg.WorkflowJob(resolve_activity=msg.ResolveActivity(seq=seq, result=result))


def signal(name: str, *args: Any) -> Any:
    return msg.WorkflowJob(signal=msg.SignalReceived(name=name, arguments=[payload(a) for a in args]))


def query(name: str, *args: Any) -> Any:
    return msg.WorkflowJob(query=msg.QueryReceived(id="q", name=name, arguments=[payload(a) for a in args]))


def cancel(reason: str = "") -> Any:
    return msg.WorkflowJob(cancel=msg.CancelReceived(reason=reason))


def evict() -> Any:
    return msg.WorkflowJob(evict=msg.Evict())


def child_started(seq: int, run_id: str = "child-run") -> Any:
    started = msg.ChildWorkflowStarted(run_id=run_id)
    return msg.WorkflowJob(resolve_child_workflow_start=msg.ResolveChildWorkflowStart(seq=seq, started=started))


def child_not_started(seq: int, *, cause: int = 1) -> Any:
    failed = msg.ChildWorkflowStartFailed(workflow_id="taken", workflow_type="Child", cause=cause)
    return msg.WorkflowJob(resolve_child_workflow_start=msg.ResolveChildWorkflowStart(seq=seq, failed=failed))


def child_start_cancelled(seq: int) -> Any:
    failure = _child_failure(msg.Failure(message="cancelled", canceled_failure_info=msg.CanceledFailureInfo()))
    return msg.WorkflowJob(resolve_child_workflow_start=msg.ResolveChildWorkflowStart(seq=seq, cancelled=failure))


def child_completed(seq: int, value: Any = None) -> Any:
    result = msg.ChildWorkflowResolution(completed=msg.ChildWorkflowSuccess(result=payload(value)))
    return msg.WorkflowJob(resolve_child_workflow=msg.ResolveChildWorkflow(seq=seq, result=result))


def child_failed(seq: int, cause: Any = None) -> Any:
    """`cause` is a `Failure`; default: that of a cancelled child."""
    if cause is None:
        failure = _child_failure(msg.Failure(message="cancelled", canceled_failure_info=msg.CanceledFailureInfo()))
        result = msg.ChildWorkflowResolution(cancelled=failure)
    else:
        result = msg.ChildWorkflowResolution(failed=_child_failure(cause))
    return msg.WorkflowJob(resolve_child_workflow=msg.ResolveChildWorkflow(seq=seq, result=result))


def _child_failure(cause: Any) -> Any:
    info = msg.ChildWorkflowExecutionFailureInfo(
        namespace="default",
        workflow_execution=msg.WorkflowExecution(workflow_id="child", run_id="child-run"),
        workflow_type=msg.WorkflowType(name="Child"),
        initiated_event_id=5,
        started_event_id=6,
        retry_state=5,
    )
    return msg.Failure(message="child failed", child_workflow_execution_failure_info=info, cause=cause)


def delivered(seq: int, failure: Any = None) -> Any:
    return msg.WorkflowJob(
        resolve_signal_external_workflow=msg.ResolveSignalExternalWorkflow(seq=seq, failure=failure)
    )


def cancel_delivered(seq: int, failure: Any = None) -> Any:
    return msg.WorkflowJob(
        resolve_request_cancel_external_workflow=msg.ResolveRequestCancelExternalWorkflow(seq=seq, failure=failure)
    )


def update(name: str, *args: Any, id: str = "u", replayed: bool = False) -> Any:
    received = msg.UpdateReceived(id=id, name=name, arguments=[payload(a) for a in args], run_validator=not replayed)
    return msg.WorkflowJob(update=received)
