//! What compilers and linters don't check: module headers, lengths, dead files, banned calls, machine
//! paths, and that the snippets of README and docs are code that tests run.
//!
//! Everything works on text with a small lexer (`source`): it must be quick enough to run before each
//! commit, and a false alarm is cured by `tidy-allow: RULE: reason` on the line or the one above it.

mod banned;
mod blank;
mod functions;
mod headers;
mod lengths;
mod machine_paths;
mod paths;
mod reach;
mod snippets;
mod source;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::shell::Failure;
use source::Source;

/// One thing to put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// Counted from 1; 0 when the finding is about the file as a whole.
    line: usize,
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &[
    "target",
    ".git",
    "node_modules",
    // What the TypeScript SDK is built into.
    "lib",
    "generated",
    "__pycache__",
    ".venv",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
];

/// Checks the tree at `root`. With `update`, the ratchet takes over the lower figures that were reached.
pub(crate) fn check(root: &Path, update: bool) -> Result<Vec<Finding>, Failure> {
    let tree = read_tree(root)?;
    let mut findings = lengths::check(root, &tree, update)?;
    findings.extend(check_tree(&tree));
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

/// All rules that need the tree's text only.
fn check_tree(tree: &[Source]) -> Vec<Finding> {
    let mut findings = headers::check(tree);
    findings.extend(reach::check(tree));
    findings.extend(banned::check(tree));
    findings.extend(machine_paths::check(tree));
    findings.extend(paths::check(tree));
    findings.extend(snippets::check(tree));
    findings
}

/// Every text file below `root`, in order of path.
fn read_tree(root: &Path) -> Result<Vec<Source>, Failure> {
    let mut tree = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in
            fs::read_dir(&dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?
        {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) && !name.ends_with(".egg-info") {
                    open.push(entry.path());
                }
            } else if kind.is_file() {
                // What isn't UTF-8 is no text, and none of our business.
                if let Ok(text) = fs::read_to_string(entry.path()) {
                    tree.push(Source::new(&crate::relative(root, &entry.path()), text));
                }
            }
        }
    }
    tree.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rules say about one file with this path and text.
    pub(super) fn findings_in(path: &str, text: &str) -> Vec<String> {
        check_tree(&[Source::new(path, text.to_owned())]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn this_tree_reads_and_a_clean_file_has_no_findings() {
        assert_eq!(
            findings_in("core/src/lib.rs", "//! What and why.\npub fn f() -> u8 { 1 }\n"),
            Vec::<String>::new()
        );
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
        let tree = read_tree(root).expect("the tree is readable");
        assert!(tree.iter().any(|source| source.path == "xtask/src/tidy/mod.rs"));
        assert!(!tree.iter().any(|source| source.path.starts_with("target/")));
    }

    #[test]
    fn findings_name_file_and_line() {
        let finding = Finding::new("a/b.rs", 3, "no");
        assert_eq!(finding.to_string(), "a/b.rs:3: no");
        assert_eq!(Finding::new("a/b.rs", 0, "no").to_string(), "a/b.rs: no");
    }
}
