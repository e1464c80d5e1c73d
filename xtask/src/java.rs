//! Everything of `cargo xtask` that is about applications without an SDK: the Java and shell examples, which work through the sidecar.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::demo;
use crate::shell::{self, Failure, Shell};
use crate::suites;
use crate::tally::Count;
use crate::toolchains::JAVA;

/// Orders of one run of a test.
const ORDERS: usize = 30;

/// Compiles the Java sources of some folders to `target/java/NAME`.
fn classes(shell: &Shell, name: &str, folders: &[&str]) -> Result<PathBuf, Failure> {
    JAVA.release(shell)?;
    let classes = shell.target().join("java").join(name);
    let _ = fs::remove_dir_all(&classes);
    fs::create_dir_all(&classes)?;
    let mut javac = shell.command("javac");
    javac.args(["-Xlint:all,-serial,-try", "-Werror", "-encoding", "UTF-8", "-d"]).arg(&classes);
    for folder in folders {
        javac.args(suites::files_below(&shell.root().join(folder), "java")?);
    }
    shell::quiet(&mut javac)?;
    Ok(classes)
}

/// Builds the Java order program; its command line, up to its arguments.
pub(crate) fn order_program(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    program(shell, "Orders", &["examples/java"])
}

/// Builds the Java program with the main class `main`, which starts a sidecar; its command line, up to its arguments.
pub(crate) fn program(shell: &Shell, main: &str, folders: &[&str]) -> Result<Vec<PathBuf>, Failure> {
    let classes = classes(shell, main, folders)?;
    let sidecar = suites::binary(shell)?;
    Ok(vec!["java".into(), property("durably", &sidecar), "-cp".into(), classes, main.into()])
}

/// The file of a conformance behaviour's program: `ActivityResult.java` of `activity_result`.
pub(crate) fn class_of(behaviour: &str) -> String {
    let mut name = String::new();
    for word in behaviour.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    format!("{name}.java")
}

/// Builds what the shell order program needs; its command line, up to its arguments.
pub(crate) fn shell_program(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    if let Some(lack) = lacks_shell(shell) {
        return Err(Failure::new(lack));
    }
    let classes = classes(shell, "Orders", &["examples/java"])?;
    let sidecar = suites::binary(shell)?;
    let set = |name: &str, value: &Path| format!("{name}={}", value.display()).into();
    let program = "examples/shell/orders.sh".into();
    Ok(vec!["env".into(), set("CLASSES", &classes), set("DURABLY", &sidecar), program])
}

/// Which program the shell example misses, if one is.
fn lacks_shell(shell: &Shell) -> Option<String> {
    ["bash", "curl", "jq"].into_iter().find_map(|tool| {
        let is_there = shell::quiet(shell.command(tool).arg("--version")).is_ok();
        (!is_there).then(|| format!("there is no `{tool}`: install it with the system's package manager"))
    })
}

/// `-DNAME=VALUE`.
fn property(name: &str, value: &Path) -> PathBuf {
    format!("-D{name}={}", value.display()).into()
}

/// The order programs: killed midway, all orders end well all the same.
pub(crate) fn tests(shell: &Shell) -> Result<Count, Failure> {
    let java = survives_a_crash(shell, "java", &order_program(shell)?)?;
    if let Some(lack) = lacks_shell(shell) {
        println!("the shell program is skipped, because {lack}");
        return Ok(java);
    }
    Ok(java.plus(survives_a_crash(shell, "shell", &shell_program(shell)?)?))
}

fn survives_a_crash(shell: &Shell, name: &str, program: &[PathBuf]) -> Result<Count, Failure> {
    let folder = tempfile::tempdir()?;
    let (orders, state) = (folder.path().join("orders.jsonl"), folder.path().join("orders.db"));
    let text = fs::read_to_string(shell.root().join("examples/python/orders.jsonl"))?;
    fs::write(&orders, text.lines().take(ORDERS).flat_map(|line| [line, "\n"]).collect::<String>())?;
    let start = |last: &[&str]| {
        let mut command = demo::order_program(shell, program, &orders, &state);
        command.args(["--cooling-off", "0.1", "--approval-timeout", "2"]).args(last);
        command
    };
    let status = shell::status(&mut start(&["--crash-midway"]))?;
    let (charged_midway, _) = ledger(&folder.path().join("orders.db.ledger"))?;
    let done = shell::stream(&mut start(&[]))?;
    let (charged, refunded) = ledger(&folder.path().join("orders.db.ledger"))?;

    let mut findings = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            findings.push(what.to_owned());
        }
    };
    expect(demo::died_by_sigkill(status), "the first run was to die by SIGKILL");
    expect((ORDERS / 2..ORDERS).contains(&charged_midway.len()), "the first run was to die midway");
    expect(done.success, "the second run failed");
    for text in
        ["All 30 orders are closed", "open from an earlier run", "goes on in another process", " moved"]
    {
        expect(done.stdout.contains(text), &format!("the second run doesn't say `{text}`"));
    }
    let paid = charged.difference(&refunded).count();
    let once = format!("Each of the {paid} shipped orders was charged exactly once");
    expect(done.stdout.contains(&once), &format!("the second run doesn't say `{once}`"));
    for finding in &findings {
        println!("{name}: {finding}");
    }
    Ok(Count::of(findings.is_empty()))
}

/// The orders that were charged, and those that got their money back.
fn ledger(file: &Path) -> Result<(BTreeSet<String>, BTreeSet<String>), Failure> {
    let (mut charged, mut refunded) = (BTreeSet::new(), BTreeSet::new());
    for line in fs::read_to_string(file)?.lines() {
        let entry: Value = serde_json::from_str(line)
            .map_err(|error| Failure::new(format!("the ledger's line `{line}`: {error}")))?;
        let list = if entry["what"] == "charge" { &mut charged } else { &mut refunded };
        list.insert(entry["key"].as_str().unwrap_or_default().to_owned());
    }
    Ok((charged, refunded))
}
