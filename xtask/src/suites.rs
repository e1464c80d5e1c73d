//! `cargo xtask test`: every suite, one after the other, and one line that sums them up.
//!
//! A suite that fails doesn't stop the ones after it: a person wants to see all that is broken. What
//! later suites build on (the workspace, the extension module) does stop them.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;

use crate::conformance;
use crate::fetch;
use crate::go::{self, Profile};
use crate::java;
use crate::kill;
use crate::package;
use crate::python::Venv;
use crate::shell::{self, Failure, Shell, heading};
use crate::square;
use crate::tally::{Count, Tally, count_cargo, count_pytest};
use crate::tidy;
use crate::toolchains::{self, GCC, GO, JAVA, NODE, NPM, PYTHON, Toolchain};
use crate::typescript_programs;

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Run only the suites whose name contains this text (repeat for several)
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
}

/// One suite: its name in the summary, the toolchains without which it can't run, and what runs it.
struct Suite {
    name: &'static str,
    needs: &'static [&'static Toolchain],
    run: fn(&Shell) -> Result<Count, Failure>,
}

const fn suite(
    name: &'static str,
    needs: &'static [&'static Toolchain],
    run: fn(&Shell) -> Result<Count, Failure>,
) -> Suite {
    Suite { name, needs, run }
}

/// In the order in which they are cheapest to fail.
const SUITES: &[Suite] = &[
    suite("rustfmt", &[], format),
    suite("tidy", &[], tidiness),
    suite("clippy", &[], clippy),
    suite("rust", &[&GCC], rust),
    suite("server of four shards", &[&GCC], four_shards),
    suite("python", &[&PYTHON], python),
    suite("python, nothing cached", &[&PYTHON], python_uncached),
    suite("mypy --strict", &[&PYTHON], mypy),
    suite("go", &[&GO, &GCC], go::tests),
    suite("go, nothing cached", &[&GO, &GCC], go::tests_uncached),
    suite("go, imports changed", &[&GO, &GCC], our_go),
    suite("typescript", &[&NODE, &NPM], typescript_programs::sdk_tests),
    suite("typescript, nothing cached", &[&NODE, &NPM], typescript_programs::tests_uncached),
    suite("typescript, imports changed", &[&NODE, &NPM], our_typescript),
    suite("typescript, order program", &[&NODE, &NPM], typescript_programs::order_program_tests),
    suite("java and shell", &[&JAVA], java::tests),
    suite("sidecar, conformance in Java", &[&JAVA], sidecar_in_java),
    suite("docs", &[&PYTHON], docs),
    suite("install", &[&PYTHON, &GO, &GCC, &NODE, &NPM], package::tests),
    suite("official SDK", &[&PYTHON], official_sdk),
    suite("square of languages", &[&PYTHON, &GO, &NODE, &NPM], square::tests),
    suite("kill", &[&PYTHON, &GO, &NODE, &NPM], small_kill),
];

pub(crate) fn run(shell: &Shell, args: &TestArgs) -> Result<(), Failure> {
    let suites = wanted(&args.only)?;
    heading("toolchains");
    toolchains::report(shell);
    let mut tally = Tally::new();
    for suite in suites {
        heading(suite.name);
        let started = Instant::now();
        let (name, count) = run_or_say_why_not(shell, suite);
        tally.add(&name, count, started.elapsed());
    }
    heading("summary");
    println!("{}", tally.summary());
    if tally.total().failed > 0 {
        // The summary says what failed; the line with the sums stays the last on standard output.
        return Err(Failure::new("some suites failed"));
    }
    Ok(())
}

/// The suites that were asked for; each text must ask for one, or else a typing error would pass every test.
fn wanted(only: &[String]) -> Result<Vec<&'static Suite>, Failure> {
    let is_asked_for = |suite: &Suite, text: &String| suite.name.contains(text.as_str());
    if let Some(nothing) = only.iter().find(|text| !SUITES.iter().any(|suite| is_asked_for(suite, text))) {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        return Err(Failure::new(format!("no suite `{nothing}`; there are: {}", names.join("; "))));
    }
    let all = SUITES.iter();
    Ok(all.filter(|suite| only.is_empty() || only.iter().any(|text| is_asked_for(suite, text))).collect())
}

/// Runs the suite, unless a toolchain is missing; what to call the outcome, and the outcome.
fn run_or_say_why_not(shell: &Shell, suite: &Suite) -> (String, Count) {
    for toolchain in suite.needs {
        if let Some(lack) = toolchain.lack(shell) {
            println!("not run: {lack}");
            let count = if toolchain.is_optional { Count::default() } else { Count::of(false) };
            return (format!("{} (no {})", suite.name, toolchain.name), count);
        }
    }
    let count = (suite.run)(shell).and_then(Count::of_something).unwrap_or_else(|failure| {
        println!("{failure}");
        Count::of(false)
    });
    (suite.name.to_owned(), count)
}

fn format(shell: &Shell) -> Result<Count, Failure> {
    let done = shell::stream(&mut shell.cargo(["fmt", "--all", "--check"]))?;
    Ok(Count::of(done.success))
}

fn tidiness(shell: &Shell) -> Result<Count, Failure> {
    let findings = tidy::check(shell.root(), false)?;
    for finding in &findings {
        println!("{finding}");
    }
    Ok(Count::of(findings.is_empty()))
}

fn clippy(shell: &Shell) -> Result<Count, Failure> {
    let mut cargo =
        shell.cargo(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    let done = shell::stream(&mut cargo)?;
    Ok(Count::of(done.success))
}

/// One selection of packages and targets for all that follows: another one would unify features
/// differently and compile dependencies twice.
pub(crate) fn build_workspace(shell: &Shell) -> Result<(), Failure> {
    shell.once("build the workspace", || {
        shell::run(&mut shell.cargo(["build", "--workspace", "--all-targets"]))
    })
}

/// The key of a release build within one run of this program.
const RELEASES: &str = "build releases";

/// The release build of what goes into one package, in place of `build_release` for the rest of this run. It leaves out the
/// binaries and the other languages' bridges, each of which takes minutes to link; and what lies below the bridge is
/// built as for Python's, so that whoever has tried the demo has it already.
pub(crate) fn build_release_for(shell: &Shell, selection: &[&str]) -> Result<(), Failure> {
    shell.once(RELEASES, || shell::run(shell.cargo(["build", "--release", "--lib"]).args(selection)))
}

/// The release build of all but Python's extension module, which the demo builds alone to be ready soon: one selection, as above.
pub(crate) fn build_release(shell: &Shell) -> Result<(), Failure> {
    shell.once(RELEASES, || {
        let mut cargo = shell.cargo(["build", "--release", "--lib", "--bins"]);
        cargo.args(["--example", "round_trip", "--example", "typescript", "-p", "durably-proto"]);
        for package in ["durably-cli", "durably-bridge-c", "durably-bridge-node", "durably-sidecar"] {
            cargo.args(["-p", package]);
        }
        shell::run(&mut cargo)
    })
}

fn rust(shell: &Shell) -> Result<Count, Failure> {
    build_workspace(shell)?;
    let done =
        shell::stream(shell.cargo(["test", "--workspace", "--no-fail-fast"]).env("INSTA_UPDATE", "no"))?;
    Ok(count_cargo(&done.stdout).and_exit(done.success))
}

/// The server's tests once more, with the runs of each state spread over several writers. The whole workspace is named,
/// so that nothing is compiled a second time with other features.
fn four_shards(shell: &Shell) -> Result<Count, Failure> {
    build_workspace(shell)?;
    let mut tests = shell.cargo(["test", "--workspace", "--lib", "--test", "behaviour", "--no-fail-fast"]);
    let done = shell::stream(tests.env("INSTA_UPDATE", "no").env("DURABLY_TEST_SHARDS", "4"))?;
    Ok(count_cargo(&done.stdout).and_exit(done.success))
}

/// The environment in which our own package and the tools that judge it are installed.
pub(crate) fn package_venv(shell: &Shell) -> Result<Venv, Failure> {
    build_workspace(shell)?;
    let venv = Venv::with_requirements(shell, "venv", "tests/requirements.txt")?;
    venv.link_package(shell, Profile::Debug)?;
    Ok(venv)
}

/// The `durably` binary of the dev profile, built.
pub(crate) fn binary(shell: &Shell) -> Result<PathBuf, Failure> {
    build_workspace(shell)?;
    Ok(shell.target().join("debug").join("durably"))
}

fn python(shell: &Shell) -> Result<Count, Failure> {
    pytest(shell, &package_venv(shell)?, &["sdk-python/tests"], &[])
}

/// The same tests with a worker that caches no workflow: each workflow task replays from the start.
fn python_uncached(shell: &Shell) -> Result<Count, Failure> {
    pytest(shell, &package_venv(shell)?, &["sdk-python/tests"], &[("DURABLY_TEST_MAX_CACHED_WORKFLOWS", "0")])
}

fn mypy(shell: &Shell) -> Result<Count, Failure> {
    let venv = package_venv(shell)?;
    let mut mypy = shell.command(venv.python());
    mypy.args(["-m", "mypy", "--strict", "--no-error-summary", "--cache-dir"])
        .arg(shell.target().join("mypy"));
    mypy.arg("sdk-python/durably");
    // A user's program is typed against the installed package, so the examples are checked as one would be.
    for example in files_below(&shell.root().join("examples/python"), "py")? {
        mypy.arg(example);
    }
    let done = shell::stream(mypy.env("MYPYPATH", shell.root().join("sdk-python")))?;
    Ok(Count::of(done.success))
}

/// What README and docs show, run.
fn docs(shell: &Shell) -> Result<Count, Failure> {
    let server = binary(shell)?;
    pytest(shell, &package_venv(shell)?, &["tests/docs"], &[("DURABLY_BINARY", &server.to_string_lossy())])
}

/// The official Python SDK against our server; `cargo xtask conformance` has the other columns.
fn official_sdk(shell: &Shell) -> Result<Count, Failure> {
    conformance::one_column(shell, "temporalio@durably")
}

/// The conformance programs, written for the official Go SDK, with ours.
fn our_go(shell: &Shell) -> Result<Count, Failure> {
    conformance::one_column(shell, "durably-go@durably")
}

/// The conformance programs, written for the official TypeScript SDK, with ours.
fn our_typescript(shell: &Shell) -> Result<Count, Failure> {
    conformance::one_column(shell, "durably-ts@durably")
}

/// The conformance programs as Java applications of the sidecar.
fn sidecar_in_java(shell: &Shell) -> Result<Count, Failure> {
    conformance::one_column(shell, "sidecar-java@durably")
}

/// The kill test in the size that fits every test run; `cargo xtask conformance` runs it in full.
fn small_kill(shell: &Shell) -> Result<Count, Failure> {
    kill::test(shell, kill::Size::Small)
}

/// The environment of the official Python SDK, which acts as client and worker towards our server.
pub(crate) fn official_venv(shell: &Shell) -> Result<Venv, Failure> {
    Venv::with_requirements(shell, "venv-official", "tests/requirements-official.txt")
}

pub(crate) fn pytest(
    shell: &Shell,
    venv: &Venv,
    folders: &[&str],
    env: &[(&str, &str)],
) -> Result<Count, Failure> {
    let mut pytest = shell.command(venv.python());
    pytest.args(["-m", "pytest", "-q", "--color=no", "-o"]);
    pytest.arg(format!("cache_dir={}", shell.target().join("pytest").display()));
    pytest.args(folders).envs(env.iter().copied()).env("PYTHONDONTWRITEBYTECODE", "1");
    let done = shell::stream(&mut pytest)?;
    Ok(count_pytest(&done.stdout).and_exit(done.success))
}

/// The files below `dir` that end in `.ext`, in order; none if the folder isn't there.
pub(crate) fn files_below(dir: &std::path::Path, ext: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == ext) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The Go programs of the conformance suite, built.
pub(crate) fn go_conformance(shell: &Shell) -> Result<PathBuf, Failure> {
    fetch::go_program(shell, "tests/conformance", "./runner", "conformance-go")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_that_is_not_there_is_no_success() {
        assert_eq!(wanted(&[]).expect("all").len(), SUITES.len());
        assert_eq!(wanted(&["tidy".to_owned()]).expect("one").len(), 1);
        let failure = wanted(&["tidy".to_owned(), "pyhton".to_owned()]).err().expect("a typing error");
        assert!(failure.to_string().contains("`pyhton`; there are: rustfmt; tidy"), "{failure}");
    }
}
