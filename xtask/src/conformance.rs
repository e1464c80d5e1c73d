//! Placeholder until the next commit.
use crate::shell::{Failure, Shell};
use clap::Args;
#[derive(Args)]
pub(crate) struct ConformanceArgs {}
pub(crate) fn run(_: &Shell, _: &ConformanceArgs) -> Result<(), Failure> {
    Err(Failure::new("not yet"))
}
