"""Testing workflows and activities in this process: nothing is downloaded, no port is opened.

`WorkflowEnvironment.start_time_skipping()` gives a server whose clock jumps to the next timer while a test waits;
`ActivityEnvironment` runs an activity without any server.
"""

from durably.testing._activity import ActivityEnvironment
from durably.testing._environment import WorkflowEnvironment

__all__ = ["ActivityEnvironment", "WorkflowEnvironment"]
