//! Placeholder until the next commit.
use crate::shell::{Failure, Shell};
use clap::Args;
#[derive(Args)]
pub(crate) struct DemoArgs {}
pub(crate) fn run(_: &Shell, _: &DemoArgs) -> Result<(), Failure> {
    Err(Failure::new("not yet"))
}
