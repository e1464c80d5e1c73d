//! Runs other programs for a person who watches: prints each command, streams its output, and says
//! which toolchain is missing, and how to get it, when one is.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

/// Why a command of ours could not do its work; the text says what to do about it.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// How a finished program ended, with what it wrote to standard output.
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) stdout: String,
}

/// The workspace, and where things that are built go.
pub(crate) struct Shell {
    root: PathBuf,
    target: PathBuf,
    /// The steps that [`Shell::once`] has done.
    done: RefCell<HashSet<String>>,
}

impl Shell {
    pub(crate) fn at_workspace_root() -> Result<Self, Failure> {
        let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        // The binary may have been built in a tree that has moved since: then the caller's folder decides.
        let root = match manifest.parent() {
            Some(parent) if parent.join("Cargo.lock").exists() => parent.to_path_buf(),
            _ => std::env::current_dir()?,
        };
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target, done: RefCell::default() })
    }

    /// Does what several suites build on, when the first of them asks for it. A step that fails is tried again.
    pub(crate) fn once(&self, step: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        if !self.done.borrow().contains(step) {
            work()?;
            self.done.borrow_mut().insert(step.to_owned());
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Cargo as it called us, at the workspace root.
    pub(crate) fn cargo<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }

    /// A program at the workspace root that reads nothing from us.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        // `cargo run` describes this package to it. Build scripts that look at such variables would be run again, and
        // all that depends on them, each time that cargo is called once from here and once by hand.
        for (name, _) in std::env::vars_os().filter(|(name, _)| describes_package(name)) {
            command.env_remove(name);
        }
        command
    }
}

fn describes_package(variable: &OsStr) -> bool {
    const PREFIXES: [&str; 5] =
        ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"];
    variable.to_str().is_some_and(|name| PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Runs to the end with its output on the terminal, and leaves it to the caller what its status means.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus, Failure> {
    announce(command);
    command.status().map_err(|error| missing(command, &error))
}

/// Runs to the end with its output on the terminal; anything but success is a failure.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = status(command)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{}` failed ({status})", line_of(command))))
}

/// Runs to the end, shows each line of standard output as it comes, and keeps them.
pub(crate) fn stream(command: &mut Command) -> Result<Finished, Failure> {
    stream_filtered(command, |_| true)
}

/// As `stream`, showing only the lines that `shown` picks.
pub(crate) fn stream_filtered(
    command: &mut Command,
    shown: impl Fn(&str) -> bool,
) -> Result<Finished, Failure> {
    announce(command);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| missing(command, &error))?;
    let mut stdout = String::new();
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).lines() {
            let line = line?;
            if shown(&line) {
                println!("{line}");
            }
            stdout.push_str(&line);
            stdout.push('\n');
        }
    }
    Ok(Finished { success: child.wait()?.success(), stdout })
}

/// Runs to the end without showing anything; on failure the error carries what it wrote.
pub(crate) fn quiet(command: &mut Command) -> Result<String, Failure> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| missing(command, &error))?;
    let mut stderr_pipe = child.stderr.take();
    let stderr = thread::spawn(move || {
        let mut text = String::new();
        if let Some(pipe) = stderr_pipe.as_mut() {
            // Not UTF-8 is still worth showing up to there.
            let _ = pipe.read_to_string(&mut text);
        }
        text
    });
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut stdout)?;
    }
    let status = child.wait()?;
    let stderr = stderr.join().unwrap_or_default();
    if status.success() {
        return Ok(stdout);
    }
    Err(Failure::new(format!("`{}` failed ({status})\n{stdout}{stderr}", line_of(command))))
}

/// A heading that a person can find again in a long output.
pub(crate) fn heading(title: &str) {
    println!("\n── {title} {}", "─".repeat(76_usize.saturating_sub(title.chars().count())));
}

fn announce(command: &Command) {
    println!("$ {}", line_of(command));
}

fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut line = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// What to install when a program isn't there.
fn missing(command: &Command, error: &std::io::Error) -> Failure {
    let program = command.get_program().to_string_lossy().into_owned();
    if error.kind() != std::io::ErrorKind::NotFound {
        return Failure::new(format!("cannot run `{program}`: {error}"));
    }
    Failure::new(format!("`{program}` is not there: install it, or check PATH"))
}
