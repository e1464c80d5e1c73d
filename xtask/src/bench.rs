//! Placeholder until the next commit.
use crate::shell::{Failure, Shell};
use clap::Args;
#[derive(Args)]
pub(crate) struct BenchArgs {}
pub(crate) fn run(_: &Shell, _: &BenchArgs) -> Result<(), Failure> {
    Err(Failure::new("not yet"))
}
