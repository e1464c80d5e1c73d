"""The workflow's logger: quiet during replay, with the workflow's identity on each record."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, cast

from durably.workflow._runtime import Runtime, current_update

# Before 3.11, logging counts one of its own frames too when it looks for the caller.
_OUR_FRAMES = 1 if sys.version_info >= (3, 11) else 2


class LoggerAdapter(logging.LoggerAdapter):  # type: ignore[type-arg]  # generic only from Python 3.11 on
    """Adds the workflow's identity to log records, and drops those of a replay.

    Attributes:
        workflow_info_on_message: Append it to the message. Default True.
        workflow_info_on_extra: Put it into the record's `temporal_workflow` field. Default True.
        full_workflow_info_on_extra: Put the whole `Info` into the field `workflow_info`. Default False.
        log_during_replay: Log during replay too. Default False.
    """

    def __init__(self, logger: logging.Logger, extra: Mapping[str, Any] | None) -> None:
        super().__init__(logger, extra or {})
        self.workflow_info_on_message = True
        self.workflow_info_on_extra = True
        self.full_workflow_info_on_extra = False
        self.log_during_replay = False

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Called by `logging` for each message."""
        runtime = Runtime.maybe_current()
        if runtime is not None:
            details = runtime.info()._logger_details()
            update = current_update.get()
            if update is not None:
                details = {**details, **update._logger_details}
            if self.workflow_info_on_message:
                msg = f"{msg} ({dict(details)})"
            extra = dict(kwargs.get("extra") or {})
            if self.workflow_info_on_extra:
                extra["temporal_workflow"] = details
            if self.full_workflow_info_on_extra:
                extra["workflow_info"] = runtime.info()
            kwargs["extra"] = extra
        return msg, kwargs

    def log(self, level: int, msg: object, *args: Any, stacklevel: int = 1, **kwargs: Any) -> None:
        """Log with the real clock and real I/O, whatever the handlers do."""
        if not self.isEnabledFor(level):
            return
        runtime = Runtime.maybe_current()
        if runtime is None:
            super().log(level, msg, *args, stacklevel=stacklevel + _OUR_FRAMES, **kwargs)
            return
        before = runtime.set_deterministic(False)
        try:
            super().log(level, msg, *args, stacklevel=stacklevel + _OUR_FRAMES, **kwargs)
        finally:
            runtime.set_deterministic(before)

    def isEnabledFor(self, level: int) -> bool:
        """Whether the level is enabled, and this is no replay."""
        if not self.log_during_replay:
            runtime = Runtime.maybe_current()
            if runtime is not None and runtime.is_replaying and not runtime.read_only:
                return False
        return self.base_logger.isEnabledFor(level)

    @property
    def base_logger(self) -> logging.Logger:
        """The logger underneath."""
        return cast(logging.Logger, self.logger)


logger = LoggerAdapter(logging.getLogger("durably.workflow"), None)
"""Logs with the workflow's identity, and not during replay."""
