//! A ratchet on length: files over 600 lines and functions over 70 are in the red zone.
//!
//! What is there already is listed in `xtask/tidy.ratchet` with its length, one item a line:
//! `file PATH LINES` or `function PATH NAME LINES`. The list may only shrink: an item that has grown is a
//! finding, and so is one that has shrunk until the list says so (`cargo xtask tidy --update`), and so is
//! an item that the last commit of the list did not have.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::Finding;
use super::functions::functions;
use super::source::Source;
use crate::shell::Failure;

const FILE_LIMIT: usize = 600;
const FUNCTION_LIMIT: usize = 70;
const RATCHET: &str = "xtask/tidy.ratchet";

/// What is too long: `file PATH` or `function PATH NAME`, with its lines.
type Ratchet = BTreeMap<String, usize>;

pub(super) fn check(root: &Path, tree: &[Source], update: bool) -> Result<Vec<Finding>, Failure> {
    let path = root.join(RATCHET);
    let listed = parse(&fs::read_to_string(&path).unwrap_or_default())?;
    let found = measure(tree);
    let listed = if update {
        let shrunk = lowered(&listed, &found);
        fs::write(&path, render(&shrunk))?;
        shrunk
    } else {
        listed
    };
    let mut findings = compare(&listed, &found);
    if let Some(before) = committed_before(root) {
        findings.extend(grown(&parse(&before)?, &listed));
    }
    Ok(findings)
}

/// The list as it was before the change at hand: at HEAD if the file differs from it, else before the last
/// commit that touched it. `None` where there is no git, or no such commit.
fn committed_before(root: &Path) -> Option<String> {
    let git = |args: &[&str]| -> Option<String> {
        let output = Command::new("git").args(args).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let head = git(&["show", &format!("HEAD:{RATCHET}")])?;
    if head != fs::read_to_string(root.join(RATCHET)).unwrap_or_default() {
        return Some(head);
    }
    let last = git(&["log", "-1", "--format=%H", "--", RATCHET])?;
    git(&["show", &format!("{}^:{RATCHET}", last.trim())])
}

fn parse(text: &str) -> Result<Ratchet, Failure> {
    let mut ratchet = Ratchet::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let entry =
            line.rsplit_once(' ').and_then(|(item, lines)| Some((item.to_owned(), lines.parse().ok()?)));
        let Some((item, lines)) = entry else {
            return Err(Failure::new(format!(
                "{RATCHET}: cannot read `{line}`: expected `file PATH LINES` or `function PATH NAME LINES`"
            )));
        };
        ratchet.insert(item, lines);
    }
    Ok(ratchet)
}

fn render(ratchet: &Ratchet) -> String {
    let head = format!(
        "# Too long already (files over {FILE_LIMIT} lines, functions over {FUNCTION_LIMIT}). This list may only shrink.\n"
    );
    ratchet.iter().fold(head, |text, (item, lines)| text + item + " " + &lines.to_string() + "\n")
}

/// What is in the red zone now.
fn measure(tree: &[Source]) -> Ratchet {
    let mut found = Ratchet::new();
    for source in tree.iter().filter(|source| !is_generated(source)) {
        let counted =
            matches!(source.path.rsplit_once('.'), Some((_, "rs" | "py" | "pyi" | "go" | "ts" | "proto")));
        let lines = source.raw.lines().count();
        if counted && lines > FILE_LIMIT {
            found.insert(format!("file {}", source.path), lines);
        }
        for (name, lines) in functions(source) {
            if lines > FUNCTION_LIMIT {
                let item = found.entry(format!("function {} {name}", source.path)).or_default();
                *item = lines.max(*item);
            }
        }
    }
    found
}

/// Nobody reads or splits what a generator wrote; tests generate it anew and compare. The mark is Go's convention.
fn is_generated(source: &Source) -> bool {
    let first = source.raw.lines().next().unwrap_or_default();
    first.contains("Code generated") && first.contains("DO NOT EDIT")
}

/// What must be put right for the list and the tree to agree.
fn compare(listed: &Ratchet, found: &Ratchet) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (item, lines) in found {
        let (path, what) = place(item);
        match listed.get(item) {
            None => findings.push(Finding::new(
                path,
                0,
                format!("{what} has {lines} lines, the limit is {}: split it", limit(item)),
            )),
            Some(allowed) if lines > allowed => {
                findings.push(Finding::new(
                    path,
                    0,
                    format!("{what} has grown from {allowed} to {lines} lines: the ratchet only shrinks"),
                ));
            }
            Some(_) => {}
        }
    }
    for (item, allowed) in listed {
        let now = found.get(item).copied().unwrap_or_default();
        if now < *allowed {
            let (_, what) = place(item);
            findings.push(Finding::new(
                RATCHET,
                0,
                format!("`{item}`: {what} is shorter now: run `cargo xtask tidy --update`"),
            ));
        }
    }
    findings
}

/// The list with what has become shorter; nothing is raised, nothing added.
fn lowered(listed: &Ratchet, found: &Ratchet) -> Ratchet {
    let reached =
        |item: &String, allowed: usize| found.get(item).map(|now| (item.clone(), allowed.min(*now)));
    listed.iter().filter_map(|(item, allowed)| reached(item, *allowed)).collect()
}

/// Items that `after` has and `before` had not, or had with less.
fn grown(before: &Ratchet, after: &Ratchet) -> Vec<Finding> {
    after
        .iter()
        .filter(|(item, lines)| before.get(*item).is_none_or(|had| *lines > had))
        .map(|(item, _)| {
            Finding::new(RATCHET, 0, format!("`{item}` was added or raised: the list may only shrink"))
        })
        .collect()
}

fn limit(item: &str) -> usize {
    if item.starts_with("file ") { FILE_LIMIT } else { FUNCTION_LIMIT }
}

/// The path of an item, and what to call it.
fn place(item: &str) -> (&str, String) {
    let mut words = item.split(' ');
    let kind = words.next().unwrap_or_default();
    let path = words.next().unwrap_or_default();
    match words.next() {
        Some(name) => (path, format!("{kind} `{name}`")),
        None => (path, format!("the {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_files_may_be_long() {
        let long =
            |first: &str| Source::new("a.go", format!("{first}\nfunc f() {{\n{}}}\n", "x\n".repeat(700)));
        assert!(measure(&[long("// Code generated by protoc-gen-go. DO NOT EDIT.")]).is_empty());
        assert_eq!(measure(&[long("// By hand.")]).len(), 2, "the file and its function");
    }

    fn long_rust(lines: usize) -> Source {
        Source::new("a/src/lib.rs", format!("fn long() {{\n{}}}\n", "    x();\n".repeat(lines - 2)))
    }

    #[test]
    fn what_is_too_long_must_be_listed_and_may_only_shrink() {
        let found = measure(&[long_rust(80)]);
        let item = "function a/src/lib.rs long";
        assert_eq!(found.get(item), Some(&80));
        let with = |lines| Ratchet::from([(item.to_owned(), lines)]);
        assert!(compare(&Ratchet::new(), &found)[0].text.contains("the limit is 70"));
        assert!(compare(&with(80), &found).is_empty());
        assert!(compare(&with(75), &found)[0].text.contains("has grown from 75 to 80"));
        assert!(compare(&with(90), &found)[0].text.contains("--update"));
        assert_eq!(lowered(&with(90), &found), with(80));
        assert_eq!(lowered(&with(75), &found), with(75), "never raised");
        assert_eq!(lowered(&with(75), &Ratchet::new()), Ratchet::new(), "no longer too long");
    }

    #[test]
    fn the_list_itself_may_not_grow() {
        let one = Ratchet::from([("file a.rs".to_owned(), 700)]);
        let two = Ratchet::from([("file a.rs".to_owned(), 701), ("file b.rs".to_owned(), 601)]);
        assert_eq!(grown(&one, &two).len(), 2);
        assert!(grown(&two, &one).is_empty());
    }

    #[test]
    fn the_list_survives_a_round_trip() {
        let ratchet = Ratchet::from([("file a.rs".to_owned(), 700), ("function b.rs f".to_owned(), 90)]);
        assert_eq!(parse(&render(&ratchet)).expect("what we render, we read"), ratchet);
        assert!(parse("nonsense\n").is_err());
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        let found = measure(&[Source::new("a.go", "x\n".repeat(601))]);
        assert_eq!(found.get("file a.go"), Some(&601));
    }
}
