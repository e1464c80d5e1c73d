//! Hands a task directly to a waiting poller.
