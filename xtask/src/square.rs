//! The square of languages (`tests/square`): a worker per language on one server, each calling the activities of all.

use std::path::PathBuf;

use serde_json::json;

use crate::go;
use crate::java;
use crate::shell::{Failure, Shell};
use crate::suites;
use crate::tally::Count;
use crate::toolchains::{GO, JAVA, NODE, PYTHON, Toolchain};
use crate::typescript_programs;

/// A side of the square.
struct Language {
    name: &'static str,
    toolchain: &'static Toolchain,
    /// Builds the worker; its command line, up to the address and the task queue.
    worker: fn(&Shell) -> Result<Vec<PathBuf>, Failure>,
}

const LANGUAGES: &[Language] = &[
    Language { name: "python", toolchain: &PYTHON, worker: python },
    Language { name: "go", toolchain: &GO, worker: go },
    Language { name: "typescript", toolchain: &NODE, worker: typescript_programs::square_worker },
    Language { name: "java", toolchain: &JAVA, worker: java },
];

fn python(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    Ok(vec![suites::package_venv(shell)?.python(), "tests/square/worker.py".into()])
}

fn go(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    Ok(vec![go::program(shell, "tests/square/go", "square-go")?])
}

fn java(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    java::program(shell, "Square", &["examples/java", "tests/square/java"])
}

/// Runs the square with the languages that this machine has.
pub(crate) fn tests(shell: &Shell) -> Result<Count, Failure> {
    let mut workers = serde_json::Map::new();
    for language in LANGUAGES {
        if language.toolchain.is_optional
            && let Some(lack) = language.toolchain.lack(shell)
        {
            println!("the square does without {}, because {lack}", language.name);
            continue;
        }
        let command: Vec<String> =
            (language.worker)(shell)?.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        workers.insert(language.name.to_owned(), json!(command));
    }
    let server = suites::binary(shell)?;
    suites::pytest(
        shell,
        &suites::package_venv(shell)?,
        &["tests/square"],
        &[
            ("DURABLY_BINARY", &server.to_string_lossy()),
            ("SQUARE_WORKERS", &serde_json::Value::Object(workers).to_string()),
        ],
    )
}
