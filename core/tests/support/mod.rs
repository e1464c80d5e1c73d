//! What the tests of the workflow core share: histories from text, workflow code as rules, and the drivers.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod drive;
pub(crate) mod events;
pub(crate) mod random;
pub(crate) mod script;
pub(crate) mod text;
