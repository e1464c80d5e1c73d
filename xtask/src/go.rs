//! Everything of `cargo xtask` that is about our Go SDK: its tests, its conformance columns, its demo and benchmark.
//!
//! Programs that were written for the official SDK run with ours after their imports are changed, and nothing else:
//! [`ported`] does just that, in a copy below `target/`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use crate::fetch;
use crate::shell::{self, Failure, Shell};
use crate::suites;
use crate::tally::Count;
use crate::toolchains::GO;

/// The messages of the contract in Go, as committed.
const MESSAGES: &str = "sdk-go/internal/core";
/// How the names of generated files end.
const GENERATED: &str = ".pb.go";
const OFFICIAL: &str = "go.temporal.io/sdk";
const OURS: &str = "durably.dev/sdk";

/// Which build of the library Go programs are linked with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Profile::Debug => "debug",
            Profile::Release => "release",
        }
    }
}

/// Go, set up to link the library of a profile, which is built.
fn go(shell: &Shell, profile: Profile) -> Result<Command, Failure> {
    GO.release(shell)?;
    match profile {
        Profile::Debug => suites::build_workspace(shell)?,
        Profile::Release => suites::build_release(shell)?,
    }
    let folder = shell.target().join(profile.folder());
    let library = folder.join("libdurably.a");
    let built = fs::metadata(&library).and_then(|meta| meta.modified()).map_err(|error| {
        Failure::new(format!("{} is not there: {error}", crate::relative(shell.root(), &library)))
    })?;
    let stamp = built.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut go = shell.command("go");
    go.env("CGO_ENABLED", "1").env("CGO_LDFLAGS", format!("-L{}", folder.display()));
    // Go doesn't look into libraries for what has changed: a new one makes a new compilation.
    go.env("CGO_CFLAGS", format!("-O2 -DDURABLY_BUILT={stamp}")).env("GOFLAGS", "-buildvcs=false");
    Ok(go)
}

/// The SDK's own tests, and whether its messages are those of the contract.
pub(crate) fn tests(shell: &Shell) -> Result<Count, Failure> {
    let mut vet = go(shell, Profile::Debug)?;
    let vetted = shell::stream(vet.args(["vet", "./..."]).current_dir(shell.root().join("sdk-go")))?;
    let mut vet = go(shell, Profile::Debug)?;
    let example = shell::stream(vet.args(["vet", "./..."]).current_dir(shell.root().join("examples/go")))?;
    let vetted = Count::of(vetted.success).plus(Count::of(example.success));
    Ok(vetted.plus(Count::of(messages_are_current(shell)?)).plus(run_tests(shell, &[])?))
}

/// The same tests with a worker that caches no workflow: each workflow task replays from the start.
pub(crate) fn tests_uncached(shell: &Shell) -> Result<Count, Failure> {
    run_tests(shell, &[("DURABLY_TEST_MAX_CACHED_WORKFLOWS", "0")])
}

fn run_tests(shell: &Shell, env: &[(&str, &str)]) -> Result<Count, Failure> {
    let mut count = Count::default();
    for module in ["sdk-go", "examples/go"] {
        let mut test = go(shell, Profile::Debug)?;
        test.args(["test", "-v", "-count=1", "./..."]).envs(env.iter().copied());
        let done = shell::stream_filtered(test.current_dir(shell.root().join(module)), |line| {
            !line.contains("=== ") && !line.contains("[no test files]")
        })?;
        count = count.plus(count_go(&done.stdout).and_exit(done.success));
    }
    Ok(count)
}

/// Counts the lines `--- PASS: TestX` and `--- FAIL: TestX` of `go test -v`.
fn count_go(stdout: &str) -> Count {
    let lines = |prefix| stdout.lines().filter(|line| line.starts_with(prefix)).count() as u64;
    Count { passed: lines("--- PASS: "), failed: lines("--- FAIL: ") }
}

/// `cargo xtask generate go`: writes the contract's messages for Go.
pub(crate) fn generate(shell: &Shell) -> Result<(), Failure> {
    let folder = shell.root().join(MESSAGES);
    // What the contract no longer has must not stay.
    for name in names_in(&folder, GENERATED)? {
        fs::remove_file(folder.join(name))?;
    }
    generate_into(shell, &folder)
}

fn generate_into(shell: &Shell, folder: &Path) -> Result<(), Failure> {
    const FOLDER: &str = "durably/core/v1/";
    let mut parameter = String::from("paths=source_relative");
    for name in names_in(&shell.root().join("proto/proto").join(FOLDER), ".proto")? {
        let _ = write!(parameter, ",M{FOLDER}{name}={OURS}/internal/core;core");
    }
    let mut generate =
        shell.cargo(["run", "--quiet", "-p", "durably-proto", "--example", "generate", "--manifest-path"]);
    generate.arg(shell.root().join("Cargo.toml")).arg("--").arg(folder).args([&parameter, FOLDER]);
    generate.args(["go", "run", "google.golang.org/protobuf/cmd/protoc-gen-go"]);
    // protoc-gen-go is a tool of this module, at the version that its go.mod says.
    shell::run(generate.current_dir(shell.root().join("sdk-go")))
}

fn messages_are_current(shell: &Shell) -> Result<bool, Failure> {
    let fresh = tempfile::tempdir()?;
    generate_into(shell, fresh.path())?;
    let committed = shell.root().join(MESSAGES);
    let mut names = names_in(fresh.path(), GENERATED)?;
    names.append(&mut names_in(&committed, GENERATED)?);
    for name in &names {
        // A file that is on one side only is as wrong as one that differs.
        if fs::read(fresh.path().join(name)).ok() != fs::read(committed.join(name)).ok() {
            println!(
                "{MESSAGES}/{name} is not what the contract says: run `cargo xtask generate go` and commit it"
            );
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names of a folder's files that end so.
fn names_in(folder: &Path, ending: &str) -> Result<BTreeSet<String>, Failure> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| name.ends_with(ending)));
    }
    Ok(names)
}

/// A program for the official SDK, built for ours: a copy of its module with the imports changed.
fn ported(
    shell: &Shell,
    module: &str,
    package: &str,
    name: &str,
    profile: Profile,
) -> Result<PathBuf, Failure> {
    let mut build = go(shell, profile)?;
    let copy = shell.target().join("go").join(name);
    let _ = fs::remove_dir_all(&copy);
    copy_with_our_imports(&shell.root().join(module), &copy)?;
    let sdk = shell.root().join("sdk-go");
    let edits = [
        format!("-droprequire={OFFICIAL}"),
        format!("-require={OURS}@v0.0.0"),
        format!("-replace={OURS}={}", sdk.display()),
    ];
    shell::run(shell.command("go").args(["mod", "edit"]).args(edits).current_dir(&copy))?;
    shell::quiet(shell.command("go").args(["mod", "tidy"]).current_dir(&copy))?;
    let binary = shell.target().join("peers").join(format!("{name}-{}", profile.folder()));
    shell::run(build.args(["build", "-o"]).arg(&binary).arg(package).current_dir(&copy))?;
    Ok(binary)
}

fn copy_with_our_imports(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_with_our_imports(&path, &to.join(name))?;
        } else if path.extension().is_some_and(|ext| ext == "go") {
            let text = fs::read_to_string(&path)?;
            fs::write(to.join(name), text.replace(&format!("\"{OFFICIAL}/"), &format!("\"{OURS}/")))?;
        } else if path.extension().is_some_and(|ext| ext == "mod" || ext == "sum") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// The conformance programs with our SDK.
pub(crate) fn conformance(shell: &Shell) -> Result<PathBuf, Failure> {
    ported(shell, "tests/conformance", "./runner", "conformance-durably-go", Profile::Debug)
}

/// The load generator with the official SDK and with ours, for a comparison on one server.
pub(crate) fn load_generators(shell: &Shell) -> Result<[(&'static str, PathBuf); 2], Failure> {
    Ok([
        ("sdk-go", fetch::go_program(shell, "bench/go", ".", "load")?),
        ("durably", ported(shell, "bench/go", ".", "load-durably-go", Profile::Release)?),
    ])
}

/// Builds the order program.
pub(crate) fn order_program(shell: &Shell) -> Result<PathBuf, Failure> {
    program(shell, "examples/go", "order-go")
}

/// Builds the program in the folder `module`, which uses our SDK, to `target/peers/NAME`.
pub(crate) fn program(shell: &Shell, module: &str, name: &str) -> Result<PathBuf, Failure> {
    let binary = shell.target().join("peers").join(name);
    let mut build = go(shell, Profile::Debug)?;
    build.args(["build", "-o"]).arg(&binary).arg(".");
    shell::run(build.current_dir(shell.root().join(module)))?;
    Ok(binary)
}

#[cfg(test)]
mod tests_of_this_file {
    use super::*;

    #[test]
    fn top_level_tests_are_counted() {
        let count = count_go("=== RUN A\n--- PASS: A (0.0s)\n    --- PASS: A/b\n--- FAIL: B (1s)\nok x\n");
        assert_eq!((count.passed, count.failed), (1, 1));
    }
}
