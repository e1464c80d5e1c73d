//! `cargo xtask conformance`: the same programs with several SDKs against both servers, as a table.
//!
//! A cell is one behaviour (a folder of `tests/conformance`) in one column (an SDK against a server). Red
//! cells fail the run; a cell that is skipped stands with its reason in `tests/conformance/skips.txt`. The
//! kill test in full size closes the run.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use clap::Args;
use serde_json::Value;

use crate::fetch;
use crate::go::{self, Profile};
use crate::java;
use crate::kill;
use crate::python::Venv;
use crate::servers::Running;
use crate::shell::{self, Failure, Shell, heading};
use crate::square;
use crate::suites;
use crate::tally::{Count, count_pytest};
use crate::toolchains::JAVA;
use crate::typescript_programs;
use crate::wire;

#[derive(Args)]
pub(crate) struct ConformanceArgs {
    /// Also run the official SDKs against the real Temporal server, which proves the programs themselves
    #[arg(long)]
    yardstick: bool,
    /// Run only the columns whose name contains this text (repeat for several)
    #[arg(long, value_name = "TEXT")]
    column: Vec<String>,
    /// Leave out the kill test
    #[arg(long)]
    no_kill: bool,
    /// Run only the raw calls that both servers must answer alike
    #[arg(long)]
    wire: bool,
    /// Run only these behaviours
    behaviours: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sdk {
    OfficialPython,
    OfficialGo,
    OfficialTypescript,
    OurPython,
    OurGo,
    OurTypescript,
    /// No SDK: a Java program, through the sidecar.
    SidecarJava,
}

impl Sdk {
    /// Some behaviours are about what only one language has, and bear its name; the official SDK is their yardstick.
    fn is_concerned(self, behaviour: &str) -> bool {
        match behaviour.split_once('_') {
            Some(("typescript", _)) => matches!(self, Sdk::OfficialTypescript | Sdk::OurTypescript),
            Some(("go", _)) => matches!(self, Sdk::OfficialGo | Sdk::OurGo),
            Some(("python", _)) => matches!(self, Sdk::OfficialPython | Sdk::OurPython),
            _ => true,
        }
    }

    /// Why this machine can't run its programs, if a toolchain is missing that may be.
    fn lack(self, shell: &Shell) -> Option<String> {
        if self == Sdk::SidecarJava { JAVA.lack(shell) } else { None }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Server {
    /// In the process of the programs, on a state file.
    Embedded,
    Durably,
    Temporal,
}

struct Column {
    name: &'static str,
    sdk: Sdk,
    server: Server,
    /// Judges the programs, not us: only on request.
    yardstick: bool,
}

const COLUMNS: &[Column] = &[
    Column {
        name: "temporalio@durably",
        sdk: Sdk::OfficialPython,
        server: Server::Durably,
        yardstick: false,
    },
    Column { name: "sdk-go@durably", sdk: Sdk::OfficialGo, server: Server::Durably, yardstick: false },
    Column {
        name: "sdk-typescript@durably",
        sdk: Sdk::OfficialTypescript,
        server: Server::Durably,
        yardstick: false,
    },
    Column { name: "durably@embedded", sdk: Sdk::OurPython, server: Server::Embedded, yardstick: false },
    Column { name: "durably@durably", sdk: Sdk::OurPython, server: Server::Durably, yardstick: false },
    Column { name: "durably@temporal", sdk: Sdk::OurPython, server: Server::Temporal, yardstick: false },
    Column { name: "durably-go@embedded", sdk: Sdk::OurGo, server: Server::Embedded, yardstick: false },
    Column { name: "durably-go@durably", sdk: Sdk::OurGo, server: Server::Durably, yardstick: false },
    Column { name: "durably-go@temporal", sdk: Sdk::OurGo, server: Server::Temporal, yardstick: false },
    Column {
        name: "durably-ts@embedded",
        sdk: Sdk::OurTypescript,
        server: Server::Embedded,
        yardstick: false,
    },
    Column { name: "durably-ts@durably", sdk: Sdk::OurTypescript, server: Server::Durably, yardstick: false },
    Column {
        name: "durably-ts@temporal",
        sdk: Sdk::OurTypescript,
        server: Server::Temporal,
        yardstick: false,
    },
    Column {
        name: "sidecar-java@embedded",
        sdk: Sdk::SidecarJava,
        server: Server::Embedded,
        yardstick: false,
    },
    Column { name: "sidecar-java@durably", sdk: Sdk::SidecarJava, server: Server::Durably, yardstick: false },
    Column {
        name: "sidecar-java@temporal",
        sdk: Sdk::SidecarJava,
        server: Server::Temporal,
        yardstick: false,
    },
    Column {
        name: "temporalio@temporal",
        sdk: Sdk::OfficialPython,
        server: Server::Temporal,
        yardstick: true,
    },
    Column { name: "sdk-go@temporal", sdk: Sdk::OfficialGo, server: Server::Temporal, yardstick: true },
    Column {
        name: "sdk-typescript@temporal",
        sdk: Sdk::OfficialTypescript,
        server: Server::Temporal,
        yardstick: true,
    },
];

const FOLDER: &str = "tests/conformance";

/// How one cell came out.
enum Cell {
    Green(f64),
    Red(String),
    Skipped,
}

type Table = BTreeMap<String, BTreeMap<&'static str, Cell>>;

pub(crate) fn run(shell: &Shell, args: &ConformanceArgs) -> Result<(), Failure> {
    if args.wire {
        return done(raw_calls(shell)?);
    }
    let behaviours = behaviours(shell, &args.behaviours)?;
    let skips = Skips::read(shell)?;
    let mut columns: Vec<&Column> = COLUMNS.iter().filter(|column| is_wanted(column, args)).collect();
    columns.retain(|column| {
        let lack = column.sdk.lack(shell);
        if let Some(lack) = &lack {
            println!("the column {} is left out, because {lack}", column.name);
        }
        lack.is_none()
    });
    let mut table = Table::new();
    for column in &columns {
        heading(column.name);
        fill_column(shell, column, &behaviours, &skips, &mut table)?;
    }
    heading("conformance");
    print_table(&table, &columns, &skips);
    let mut failed =
        table.values().flat_map(BTreeMap::values).filter(|cell| matches!(cell, Cell::Red(_))).count() as u64;
    if args.behaviours.is_empty() && args.column.is_empty() {
        failed += raw_calls(shell)?;
        failed += demo_on_temporal(shell)?.failed;
        heading("the TypeScript SDK in other releases of Node.js");
        failed += typescript_programs::tests_in_other_releases(shell)?.failed;
        heading("the square of languages");
        failed += square::tests(shell)?.failed;
        if !args.no_kill {
            heading("kill test");
            failed += kill::test(shell, kill::Size::Full)?.failed;
        }
    }
    done(failed)
}

fn done(failed: u64) -> Result<(), Failure> {
    if failed == 0 { Ok(()) } else { Err(Failure::new(format!("conformance: {failed} red"))) }
}

fn raw_calls(shell: &Shell) -> Result<u64, Failure> {
    heading("raw calls against both servers");
    Ok(wire::tests(shell)?.failed)
}

/// Runs one column for `cargo xtask test`.
pub(crate) fn one_column(shell: &Shell, name: &str) -> Result<Count, Failure> {
    let Some(column) = COLUMNS.iter().find(|column| column.name == name) else {
        return Err(Failure::new(format!("no column `{name}`")));
    };
    let skips = Skips::read(shell)?;
    let mut table = Table::new();
    fill_column(shell, column, &behaviours(shell, &[])?, &skips, &mut table)?;
    print_table(&table, &[column], &skips);
    Ok(count(&table))
}

fn count(table: &Table) -> Count {
    let mut count = Count::default();
    for cell in table.values().flat_map(BTreeMap::values) {
        match cell {
            Cell::Green(_) => count.passed += 1,
            Cell::Red(_) => count.failed += 1,
            Cell::Skipped => {}
        }
    }
    count
}

/// Runs what the column has to run, and enters it in the table.
fn fill_column(
    shell: &Shell,
    column: &Column,
    behaviours: &[String],
    skips: &Skips,
    table: &mut Table,
) -> Result<(), Failure> {
    let (skipped, wanted): (Vec<_>, Vec<_>) = behaviours
        .iter()
        .filter(|name| column.sdk.is_concerned(name))
        .cloned()
        .partition(|name| skips.reason(column.name, name).is_some());
    for name in skipped {
        table.entry(name).or_default().insert(column.name, Cell::Skipped);
    }
    let outcomes = run_column(shell, column, &wanted)?;
    for name in wanted {
        let cell =
            outcomes.get(&name).map_or_else(|| Cell::Red("ended without an answer".to_owned()), read_cell);
        table.entry(name).or_default().insert(column.name, cell);
    }
    Ok(())
}

fn is_wanted(column: &Column, args: &ConformanceArgs) -> bool {
    if args.column.is_empty() {
        return args.yardstick || !column.yardstick;
    }
    args.column.iter().any(|text| column.name.contains(text.as_str()))
}

/// The folders that hold a behaviour, or those of them that were asked for.
fn behaviours(shell: &Shell, only: &[String]) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for entry in fs::read_dir(shell.root().join(FOLDER))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let programs = ["behaviour.py", "behaviour.go", "behaviour.ts", &java::class_of(&name)];
        if programs.iter().any(|program| path.join(program).exists()) {
            found.push(name);
        }
    }
    found.sort();
    if let Some(unknown) = only.iter().find(|name| !found.contains(name)) {
        return Err(Failure::new(format!("no behaviour `{unknown}`; there are: {}", found.join(", "))));
    }
    Ok(if only.is_empty() { found } else { only.to_vec() })
}

/// Starts the column's server, runs the programs of its SDK, and returns their lines by behaviour.
fn run_column(
    shell: &Shell,
    column: &Column,
    behaviours: &[String],
) -> Result<BTreeMap<String, Value>, Failure> {
    if behaviours.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut program = program(shell, column.sdk)?;
    // On a file: what conforms must conform in the configuration that keeps its promises.
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("state.db");
    let server = match column.server {
        Server::Embedded => None,
        Server::Durably => Some(Running::durably(&suites::binary(shell)?, Some(&file))?),
        Server::Temporal => Some(Running::temporal(&fetch::temporal_server(shell)?, None)?),
    };
    let address =
        server.as_ref().map_or_else(|| format!("embedded:{}", file.display()), |s| s.address.clone());
    program.args(["--address", &address]).args(behaviours);
    // Its log would bury the table; each failure comes with its own words.
    program.stderr(std::process::Stdio::null());
    let done = shell::stream_filtered(&mut program, |line| line.starts_with("{\"behaviour\""))?;
    let mut outcomes = BTreeMap::new();
    for line in done.stdout.lines().filter(|line| line.starts_with("{\"behaviour\"")) {
        if let Ok(value) = serde_json::from_str::<Value>(line)
            && let Some(name) = value["behaviour"].as_str()
        {
            outcomes.insert(name.to_owned(), value);
        }
    }
    Ok(outcomes)
}

fn program(shell: &Shell, sdk: Sdk) -> Result<Command, Failure> {
    let python = |venv: Venv, package: &str| {
        let mut command = shell.command(venv.python());
        command.args(["tests/conformance/runner.py", "--package", package]);
        command
    };
    Ok(match sdk {
        Sdk::OfficialPython => python(suites::official_venv(shell)?, "temporalio"),
        Sdk::OurPython => python(suites::package_venv(shell)?, "durably"),
        Sdk::OfficialGo => shell.command(suites::go_conformance(shell)?),
        Sdk::OfficialTypescript => {
            typescript_programs::conformance(shell, typescript_programs::Sdk::Official)?
        }
        Sdk::OurTypescript => {
            typescript_programs::conformance(shell, typescript_programs::Sdk::Ours(Profile::Debug))?
        }
        Sdk::OurGo => shell.command(go::conformance(shell)?),
        Sdk::SidecarJava => {
            let words = java::program(shell, "Runner", &["examples/java", FOLDER])?;
            let mut command = shell.command(&words[0]);
            command.args(&words[1..]);
            command
        }
    })
}

fn read_cell(outcome: &Value) -> Cell {
    if outcome["ok"] == Value::Bool(true) {
        return Cell::Green(outcome["seconds"].as_f64().unwrap_or_default());
    }
    let mut why = outcome["error"].as_str().unwrap_or("no reason given").to_owned();
    if let Some(trace) = outcome["trace"].as_str() {
        why = format!("{why}\n{trace}");
    }
    Cell::Red(why)
}

fn print_table(table: &Table, columns: &[&Column], skips: &Skips) {
    print!("{:<26}", "");
    for column in columns {
        print!("{:>24}", column.name);
    }
    println!();
    for (behaviour, cells) in table {
        print!("{behaviour:<26}");
        for column in columns {
            let text = match cells.get(column.name) {
                Some(Cell::Green(seconds)) => format!("ok {seconds:>5.1} s"),
                Some(Cell::Red(_)) => "RED".to_owned(),
                Some(Cell::Skipped) => "skipped".to_owned(),
                None => String::new(),
            };
            print!("{text:>24}");
        }
        println!();
    }
    for (behaviour, cells) in table {
        for (column, cell) in cells {
            match cell {
                Cell::Red(why) => println!("\nRED {behaviour} {column}: {why}"),
                Cell::Skipped => {
                    println!(
                        "\nskipped {behaviour} {column}: {}",
                        skips.reason(column, behaviour).unwrap_or_default()
                    );
                }
                Cell::Green(_) => {}
            }
        }
    }
}

/// Our worker and client run the demo's own workflow against the real Temporal server.
fn demo_on_temporal(shell: &Shell) -> Result<Count, Failure> {
    heading("the demo's workflow: durably@temporal");
    let server = Running::temporal(&fetch::temporal_server(shell)?, None)?;
    let venv = suites::package_venv(shell)?;
    let mut test = shell.command(venv.python());
    test.args([
        "-m",
        "pytest",
        "-q",
        "--color=no",
        "-p",
        "no:cacheprovider",
        "tests/conformance/test_demo_on_temporal.py",
    ]);
    test.env("TEMPORAL_ADDRESS", &server.address);
    let done = shell::stream(&mut test)?;
    Ok(count_pytest(&done.stdout).and_exit(done.success))
}

/// The cells that are not run, each with its reason.
struct Skips(BTreeMap<(String, String), String>);

impl Skips {
    fn read(shell: &Shell) -> Result<Self, Failure> {
        let path: PathBuf = shell.root().join(FOLDER).join("skips.txt");
        let known: BTreeSet<&str> = COLUMNS.iter().map(|column| column.name).collect();
        Self::parse(&fs::read_to_string(&path).unwrap_or_default(), &known)
    }

    /// Lines of the form `COLUMN BEHAVIOUR: reason`.
    fn parse(text: &str, columns: &BTreeSet<&str>) -> Result<Self, Failure> {
        let mut skips = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            let parts =
                line.split_once(": ").and_then(|(cell, reason)| Some((cell.split_once(' ')?, reason.trim())));
            match parts {
                Some(((column, behaviour), reason)) if columns.contains(column) && !reason.is_empty() => {
                    skips.insert((column.to_owned(), behaviour.trim().to_owned()), reason.to_owned());
                }
                _ => {
                    return Err(Failure::new(format!(
                        "skips.txt: `{line}` is not `COLUMN BEHAVIOUR: reason`"
                    )));
                }
            }
        }
        Ok(Self(skips))
    }

    fn reason(&self, column: &str, behaviour: &str) -> Option<&str> {
        self.0.get(&(column.to_owned(), behaviour.to_owned())).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_names_a_cell_and_its_reason() {
        let columns = BTreeSet::from(["a@b"]);
        let skips = Skips::parse("# why\na@b timers: the server lacks X\n", &columns).expect("well-formed");
        assert_eq!(skips.reason("a@b", "timers"), Some("the server lacks X"));
        assert_eq!(skips.reason("a@b", "signals"), None);
        for bad in ["a@b timers\n", "c@d timers: why\n", "a@b timers: \n"] {
            assert!(Skips::parse(bad, &columns).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cell_is_red_with_its_reason() {
        let red = serde_json::json!({"behaviour": "x", "ok": false, "error": "boom"});
        assert!(matches!(read_cell(&red), Cell::Red(why) if why == "boom"));
        let green = serde_json::json!({"behaviour": "x", "ok": true, "seconds": 1.5});
        assert!(matches!(read_cell(&green), Cell::Green(seconds) if seconds > 1.0));
    }
}
