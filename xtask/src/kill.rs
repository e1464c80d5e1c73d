//! The kill test (`tests/kill`): orders under way while the server, workers of every language and a sidecar are killed.

use std::path::{Path, PathBuf};

use crate::go;
use crate::java;
use crate::shell::{self, Failure, Shell};
use crate::suites;
use crate::tally::Count;
use crate::toolchains::JAVA;
use crate::typescript_programs;

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// What fits every test run: Go and Java share the work of one run.
    Small,
    Full,
}

/// Who runs the workflows.
struct Run {
    /// The SDK of the worker in the test's own process, and of the replay at the end.
    package: &'static str,
    /// Worker processes instead, which are killed like the server.
    workers: Vec<String>,
    /// They work through a sidecar, which is killed as well.
    has_sidecar: bool,
}

/// Runs the kill test with workers of the official SDK, then of ours, then in two worker processes of ours at a time, the
/// second of which keeps nothing in its cache (the sidecar's is small).
pub(crate) fn test(shell: &Shell, size: Size) -> Result<Count, Failure> {
    let server = suites::binary(shell)?;
    let python = suites::official_venv(shell)?.python();
    suites::package_venv(shell)?;
    let mut count = Count::default();
    for run in runs(shell, size, &python)? {
        let (orders, kills) = match size {
            Size::Small => ("40", "4"),
            Size::Full => ("200", "20"),
        };
        let mut test = shell.command(&python);
        test.arg("tests/kill/kill_test.py").arg("--server").arg(&server).args(["--package", run.package]);
        test.args(["--orders", orders, "--kills", kills]);
        for worker in run.workers {
            test.args(["--worker", &worker]);
        }
        if run.has_sidecar {
            test.arg("--sidecar");
        }
        // The harness itself needs the official SDK, so ours is reached from its sources.
        test.env("PYTHONPATH", shell.root().join("sdk-python")).env("PYTHONDONTWRITEBYTECODE", "1");
        let done = shell::stream_filtered(&mut test, |line| !line.contains(" WARN "))?;
        count = count.plus(Count::of(done.success));
    }
    Ok(count.plus(families(shell, size, &server, &python)?))
}

/// Parents, and children that signal each other and take updates, while the server, their worker and those who ask are killed.
fn families(shell: &Shell, size: Size, server: &Path, python: &Path) -> Result<Count, Failure> {
    let (packages, families, kills): (&[&str], _, _) = match size {
        Size::Small => (&["durably"], "15", "4"),
        Size::Full => (&["temporalio", "durably"], "100", "30"),
    };
    let mut count = Count::default();
    for package in packages {
        let mut test = shell.command(python);
        test.arg("tests/kill/family_test.py").arg("--server").arg(server).args(["--package", package]);
        test.args(["--families", families, "--kills", kills]);
        test.env("PYTHONPATH", shell.root().join("sdk-python")).env("PYTHONDONTWRITEBYTECODE", "1");
        let done = shell::stream_filtered(&mut test, |line| !line.contains(" WARN "))?;
        count = count.plus(Count::of(done.success));
    }
    Ok(count)
}

fn runs(shell: &Shell, size: Size, python: &Path) -> Result<Vec<Run>, Failure> {
    let here = |package| Run { package, workers: Vec::new(), has_sidecar: false };
    let apart = |workers: Vec<String>| Run { package: "durably", workers, has_sidecar: false };
    let to_server = |words: &[PathBuf]| format!("{} --address {{address}} --queue {{queue}}", line(words));

    let python = to_server(&[python.into(), "tests/kill/order_worker.py".into()]);
    let typescript = to_server(&["node".into(), typescript_programs::order_worker(shell)?]);
    let go = to_server(&[go::program(shell, "tests/kill/go", "order-worker-go")?]);
    let and_uncached = |worker: &str| apart(vec![worker.to_owned(), format!("{worker} --cache 0")]);
    let mut runs =
        vec![here("temporalio"), here("durably"), and_uncached(&python), and_uncached(&typescript)];

    let java = if let Some(lack) = JAVA.lack(shell) {
        println!("the kill test does without Java, because {lack}");
        None
    } else {
        let program = java::program(shell, "OrderWorker", &["examples/java", "tests/kill/java"])?;
        Some(format!("{} {{sidecar}} {{token}} {{queue}}", line(&program)))
    };
    let sidecar = |workers| Run { has_sidecar: true, ..apart(workers) };
    match (size, java) {
        (Size::Small, Some(java)) => runs.push(sidecar(vec![go, java])),
        (Size::Small, None) => runs.push(and_uncached(&go)),
        (Size::Full, java) => {
            runs.push(and_uncached(&go));
            if let Some(java) = java {
                runs.push(sidecar(vec![java.clone(), java.clone()]));
                // Each order passes through the hands of all languages.
                runs.push(sidecar(vec![python, typescript, go, java]));
            }
        }
    }
    Ok(runs)
}

/// A command line as the test's `--worker` takes it.
fn line(words: &[PathBuf]) -> String {
    words.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}
