//! Snippets in README and docs are code that tests run: each block is a copy, kept equal by this rule, of
//! a marked region in a file below `tests/` or `examples/`.
//!
//! The block is preceded by `<!-- snippet: PATH#NAME -->`; the region lies between the lines
//! `# snippet: NAME` and `# end snippet` (or `//` in place of `#`). `PATH` alone means the whole file.
//! Commands (`sh`) may be only those that this tool has itself, or stand in such a region as well.

use clap::Parser as _;
use clap::error::ErrorKind;

use super::Finding;
use super::source::Source;
use crate::Cli;

const COMMAND: &str = "cargo xtask ";

/// Languages of blocks that somebody would run.
const RUNNABLE: &[&str] = &[
    "python",
    "py",
    "rust",
    "rs",
    "go",
    "typescript",
    "ts",
    "javascript",
    "js",
    "json",
    "toml",
    "sh",
    "bash",
    "shell",
    "console",
];

/// Where a snippet's original may live: what is there is run by the suites.
const ORIGINS: &[&str] = &["tests/", "examples/", "sdk-typescript/tests/"];

/// A fenced block of a Markdown file.
struct Block<'a> {
    /// Of the opening fence, counted from 1.
    line: usize,
    language: &'a str,
    /// What the comment above it names as its original.
    origin: Option<&'a str>,
    text: String,
}

pub(super) fn check(tree: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.iter().filter(|source| is_checked(&source.path)) {
        for (i, line) in source.raw.lines().enumerate() {
            findings.extend(misnamed_commands(line).into_iter().map(|arguments| {
                Finding::new(
                    &source.path,
                    i + 1,
                    format!("this tool has no `{arguments}`: see `cargo xtask --help`"),
                )
            }));
        }
        for block in blocks(&source.raw) {
            if RUNNABLE.contains(&block.language)
                && let Err(text) = check_block(&block, tree)
            {
                findings.push(Finding::new(&source.path, block.line, text));
            }
        }
    }
    findings
}

fn is_checked(path: &str) -> bool {
    let ours =
        !path.contains('/') || ["docs/", "sdk-", "examples/"].iter().any(|folder| path.starts_with(folder));
    ours && path.rsplit_once('.').is_some_and(|(_, ext)| ext == "md")
}

fn check_block(block: &Block<'_>, tree: &[Source]) -> Result<(), String> {
    let Some(origin) = block.origin else {
        if block.text.lines().all(is_own_command) {
            return Ok(());
        }
        return Err(
            "a snippet that nothing runs: move it to a file below tests/ or examples/ and name it with \
                    `<!-- snippet: PATH#NAME -->`"
                .to_owned(),
        );
    };
    let (path, name) = origin.split_once('#').unwrap_or((origin, ""));
    if !ORIGINS.iter().any(|folder| path.starts_with(folder)) {
        return Err(format!("`{path}` lies outside of what the suites run (tests/, examples/)"));
    }
    let Some(source) = tree.iter().find(|source| source.path == path) else {
        return Err(format!("the snippet's original `{path}` is not there"));
    };
    let Some(region) = region(&source.raw, name) else {
        return Err(format!("`{path}` has no region between `snippet: {name}` and `end snippet`"));
    };
    if region.trim_end() != block.text.trim_end() {
        return Err(format!("differs from its original `{origin}`: copy it again"));
    }
    Ok(())
}

/// Whether a line is a command of this tool, with arguments that it takes. CI, users and this tool's own tests run those.
fn is_own_command(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    line.is_empty() || line.strip_prefix(COMMAND).is_some_and(is_understood)
}

/// Whether this tool would take these arguments.
fn is_understood(arguments: &str) -> bool {
    let words = std::iter::once("cargo xtask").chain(arguments.split_whitespace());
    match Cli::try_parse_from(words) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::DisplayHelp,
    }
}

/// The commands of this tool that a line of prose names, and that it would not take. Prose may leave arguments out.
fn misnamed_commands(line: &str) -> Vec<&str> {
    let spans = line.split('`').skip(1).step_by(2).filter_map(|span| span.strip_prefix(COMMAND));
    let whole = spans.filter(|arguments| !arguments.contains(['…', '|']));
    whole
        .filter(|arguments| !is_understood(arguments) && !is_understood(&format!("{arguments} --help")))
        .collect()
}

fn blocks(markdown: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block<'_>> = None;
    let mut origin = None;
    for (i, line) in markdown.lines().enumerate() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            if let Some(block) = open.take() {
                blocks.push(block);
            } else {
                let language = fence.split([' ', ',', '{']).next().unwrap_or_default();
                open = Some(Block { line: i + 1, language, origin: origin.take(), text: String::new() });
            }
        } else if let Some(block) = open.as_mut() {
            block.text.push_str(line);
            block.text.push('\n');
        } else if let Some(comment) = line.trim().strip_prefix("<!-- snippet: ") {
            origin = comment.strip_suffix("-->").map(str::trim);
        } else if !line.trim().is_empty() {
            origin = None;
        }
    }
    blocks
}

/// The lines between the markers, without the indentation they share; the whole text without a name.
fn region(text: &str, name: &str) -> Option<String> {
    if name.is_empty() {
        return Some(text.to_owned());
    }
    let is_marker = |line: &str, what: &str| {
        let line = line.trim();
        ["# ", "// "].iter().any(|comment| line.strip_prefix(comment) == Some(what))
    };
    let opening = format!("snippet: {name}");
    let lines: Vec<&str> = text
        .lines()
        .skip_while(|line| !is_marker(line, &opening))
        .skip(1)
        .take_while(|line| !is_marker(line, "end snippet"))
        .collect();
    if lines.is_empty() {
        return None;
    }
    let indent =
        lines.iter().filter(|l| !l.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min()?;
    Some(lines.iter().map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str =
        "\"\"\"Why.\"\"\"\ndef f():\n    # snippet: two\n    a = 1\n    b = 2\n    # end snippet\n";

    fn findings(markdown: &str) -> Vec<String> {
        let tree = [
            Source::new("README.md", markdown.to_owned()),
            Source::new("tests/docs/a.py", PROGRAM.to_owned()),
            Source::new("server/src/a.py", PROGRAM.to_owned()),
        ];
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_copy_of_code_that_runs_is_fine() {
        assert!(findings("<!-- snippet: tests/docs/a.py#two -->\n```python\na = 1\nb = 2\n```\n").is_empty());
        assert!(findings("```text\nanything\n```\n").is_empty());
        assert!(findings("```sh\ncargo xtask test   # everything\n```\n").is_empty());
    }

    #[test]
    fn prose_names_commands_that_are_there() {
        let fine = "`cargo xtask demo --lang go`, `cargo xtask package`, `cargo xtask demo | test`, `cargo xtask …`\n";
        assert!(findings(fine).is_empty());
        for unknown in ["demo --lang cobol", "dmeo", "tidy --fix"] {
            assert!(
                findings(&format!("`cargo xtask {unknown}`\n"))[0].contains("this tool has no"),
                "{unknown}"
            );
        }
    }

    #[test]
    fn a_snippet_without_original_or_unlike_it_is_found() {
        assert!(
            findings("```python\na = 1\n```\n")[0].starts_with("README.md:1: a snippet that nothing runs")
        );
        assert!(findings("```sh\nrm -rf /\n```\n")[0].contains("nothing runs"));
        assert!(findings("```sh\ncargo xtask dmeo\n```\n")[0].contains("nothing runs"));
        assert!(
            findings("<!-- snippet: tests/docs/a.py#two -->\n```python\na = 2\n```\n")[0].contains("differs")
        );
        assert!(
            findings("<!-- snippet: tests/docs/a.py#x -->\n```python\na = 2\n```\n")[0].contains("no region")
        );
        assert!(
            findings("<!-- snippet: tests/docs/b.py#x -->\n```python\na = 2\n```\n")[0].contains("not there")
        );
        assert!(
            findings("<!-- snippet: server/src/a.py#two -->\n```python\na = 1\nb = 2\n```\n")[0]
                .contains("outside")
        );
    }
}
