//! `cargo xtask demo`: installs a language's package as a user would and runs its order program (`examples/`)
//! twice; the first run dies by SIGKILL midway, the second one goes on from there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use clap::Args;

use crate::go;
use crate::java;
use crate::python::Venv;
use crate::shell::{self, Failure, Shell, heading};
use crate::typescript_programs;

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Orders to run, one JSON object per line [default: examples/python/orders.jsonl]
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,
    /// The language of the order program
    #[arg(long, value_enum, default_value_t = Lang::Python)]
    lang: Lang,
}

/// The languages that have the order program.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Lang {
    Python,
    Go,
    Java,
    Typescript,
    Shell,
}

const PROGRAM: &str = "examples/python/order.py";
const ORDERS: &str = "examples/python/orders.jsonl";

pub(crate) fn run(shell: &Shell, args: &DemoArgs) -> Result<(), Failure> {
    // A path on the command line is relative to where the person stands, and we run at the root.
    let orders = match &args.orders {
        Some(file) => fs::canonicalize(file)
            .map_err(|error| Failure::new(format!("cannot read the orders {}: {error}", file.display())))?,
        None => shell.root().join(ORDERS),
    };
    let program = install(shell, args.lang)?;

    let folder = shell.target().join("demo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let state = folder.join("orders.db");

    heading("2. run the orders; the program kills itself midway");
    let status = shell::status(order_program(shell, &program, &orders, &state).arg("--crash-midway"))?;
    if !died_by_sigkill(status) {
        return Err(Failure::new(format!("the program was to die by SIGKILL, but ended with {status}")));
    }
    println!(
        "The process is gone ({status}). Nothing was flushed or closed; what is left is {}.",
        crate::relative(shell.root(), &state)
    );

    heading("3. run the same command again: every open order goes on where it was");
    let status = shell::status(&mut order_program(shell, &program, &orders, &state))?;
    if !status.success() {
        return Err(Failure::new(format!(
            "the second run failed ({status}); its state is in {}",
            state.display()
        )));
    }
    println!("\nThe demo is done. Its files are in {}.", crate::relative(shell.root(), &folder));
    Ok(())
}

/// Makes the program ready to run: its command line, up to its arguments.
fn install(shell: &Shell, lang: Lang) -> Result<Vec<PathBuf>, Failure> {
    match lang {
        Lang::Python => {
            heading("1. install the Python package");
            Ok(vec![Venv::with_our_wheel(shell)?.python(), PROGRAM.into()])
        }
        Lang::Go => {
            heading("1. build the Go program with our SDK");
            Ok(vec![go::order_program(shell)?])
        }
        Lang::Typescript => {
            heading("1. install the TypeScript packages");
            typescript_programs::order_program(shell)
        }
        Lang::Java => {
            heading("1. compile the Java program, and build the sidecar that it works through");
            java::order_program(shell)
        }
        Lang::Shell => {
            heading("1. look for curl and jq; compile the Java program, and build the sidecar");
            java::shell_program(shell)
        }
    }
}

/// The program with its arguments.
pub(crate) fn order_program(shell: &Shell, program: &[PathBuf], orders: &Path, state: &Path) -> Command {
    let mut command = shell.command(&program[0]);
    command.args(&program[1..]).arg(orders).arg("--state").arg(state).env("PYTHONUNBUFFERED", "1");
    command
}

#[cfg(unix)]
pub(crate) fn died_by_sigkill(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(9)
}

#[cfg(not(unix))]
pub(crate) fn died_by_sigkill(status: ExitStatus) -> bool {
    !status.success()
}
