"""Names of Temporal's Python SDK that this release doesn't have, and the error of whoever uses one.

An ordinary AttributeError in a workflow fails its task, which is then retried until somebody deploys other code; but no
other code of the user's brings the feature. So this error fails the run, or the test that waits for it, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from durably.exceptions import ApplicationError

_WITH_START = "signal-with-start inside a workflow"
_LOCAL = "local activities"
_PATCHES = "patching"
_UPSERTS = "changing search attributes and memo"
_NEXUS = "Nexus"
_METRICS = "metrics"
_VERSIONS = "worker versioning"
_GROUPS = "event groups"

WORKFLOW = {
    "signal_with_start_workflow": _WITH_START,
    "LocalActivityConfig": _LOCAL,
    "execute_local_activity": _LOCAL,
    "execute_local_activity_class": _LOCAL,
    "execute_local_activity_method": _LOCAL,
    "start_local_activity": _LOCAL,
    "start_local_activity_class": _LOCAL,
    "start_local_activity_method": _LOCAL,
    "deprecate_patch": _PATCHES,
    "patched": _PATCHES,
    "upsert_memo": _UPSERTS,
    "upsert_search_attributes": _UPSERTS,
    "NexusClient": _NEXUS,
    "NexusOperationCancellationType": _NEXUS,
    "NexusOperationHandle": _NEXUS,
    "create_nexus_client": _NEXUS,
    "metric_meter": _METRICS,
    "ContinueAsNewVersioningBehavior": _VERSIONS,
    "DynamicWorkflowConfig": _VERSIONS,
    "VersioningIntent": _VERSIONS,
    "dynamic_config": _VERSIONS,
    "EventGroup": _GROUPS,
    "create_event_group": _GROUPS,
    "extern_functions": "functions from outside the sandbox",
    "register_random_seed_callback": "callbacks of the random seed",
    "uuid7": "version 7 UUIDs",
}
WORKFLOW_INFO = {
    "get_current_deployment_version": _VERSIONS,
    "is_target_worker_deployment_version_changed": _VERSIONS,
}
ACTIVITY = {"metric_meter": _METRICS}
#: Keyword arguments.
OPTIONS = {
    "backoff_start_interval": "a delay before the next run",
    "event_groups": _GROUPS,
    "initial_versioning_behavior": _VERSIONS,
    "name": "random generators with names",
    "versioning_intent": _VERSIONS,
    "versioning_override": _VERSIONS,
}


class NotInThisReleaseError(ApplicationError, AttributeError):
    """A feature of Temporal's Python SDK was used that this release doesn't have. Fails the workflow."""

    def __init__(self, what: str, feature: str) -> None:
        super().__init__(
            f"{what} is not in this release of durably, which comes without {feature}",
            type="NotInThisReleaseError",
            non_retryable=True,
        )


def getter(module: str, absent: Mapping[str, str]) -> Callable[[str], NoReturn]:
    """A `__getattr__` for the module."""

    def get(name: str) -> NoReturn:
        feature = absent.get(name)
        if feature is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise NotInThisReleaseError(f"{module}.{name}", feature)

    return get


def refuse(function: str, options: Mapping[str, Any]) -> None:
    """Refuses keyword arguments that this release doesn't have; None is what they are without.

    Raises:
        NotInThisReleaseError: Temporal's Python SDK has it.
        TypeError: It hasn't either.
    """
    for name, value in options.items():
        feature = OPTIONS.get(name)
        if feature is None:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        if value:
            raise NotInThisReleaseError(f"{function}({name}=…)", feature)
