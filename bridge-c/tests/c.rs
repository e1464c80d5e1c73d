//! A C program runs a workflow and an activity through `durably.h`, under AddressSanitizer.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The static library of this source: what cargo has built last, beside the test's own binary, with a hash in its name.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    let deps = std::fs::read_dir(test.parent().expect("it is in a folder")).expect("its folder");
    deps.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        let is_ours = name.starts_with("libdurably-") && path.extension().is_some_and(|ext| ext == "a");
        is_ours.then(|| Some((path.metadata().ok()?.modified().ok()?, path.clone())))?
    })
    .max()
    .expect("cargo has built libdurably.a")
    .1
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_c_program_runs_a_workflow_and_an_activity() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("workflow");
    let mut compile = Command::new("gcc");
    compile.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address", "-I"]);
    compile.arg(here.join("include")).arg(here.join("tests/c/workflow.c")).arg("-o").arg(&program);
    compile.arg(library()).args(["-lm", "-ldl", "-lpthread"]);
    output(&mut compile);
    assert_eq!(output(&mut Command::new(&program)), "hello from C\n");
}
