//! Dead files: a `.rs` file that no `mod` reaches is compiled by nobody, and rots.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{Language, Source};

pub(super) fn check(tree: &[Source]) -> Vec<Finding> {
    let files: BTreeMap<&str, &Source> =
        tree.iter().filter(|s| s.language == Language::Rust).map(|s| (s.path.as_str(), s)).collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<String> =
        files.keys().filter(|path| is_crate_root(path)).map(|path| (*path).to_owned()).collect();
    while let Some(path) = open.pop() {
        if let Some(source) = files.get(path.as_str())
            && reached.insert(path)
        {
            open.extend(
                named_by(source).into_iter().filter(|candidate| files.contains_key(candidate.as_str())),
            );
        }
    }
    files
        .keys()
        .filter(|path| !reached.contains(**path))
        .map(|path| Finding::new(path, 0, "dead file: no `mod` reaches it; declare it or delete it"))
        .collect()
}

/// The files that are compiled for tests only, because their `mod` stands under `#[cfg(test)]`.
pub(super) fn test_modules(tree: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in tree.iter().filter(|source| source.language == Language::Rust) {
        let words: Vec<&str> = tokens(&source.code).collect();
        for window in words.windows(10) {
            if let ["#", "[", "cfg", "(", "test", ")", "]", "mod", name, ";"] = window {
                let base = folder_of(source);
                found.insert(normal(&format!("{base}/{name}.rs")));
                found.insert(normal(&format!("{base}/{name}/mod.rs")));
            }
        }
    }
    found
}

/// What cargo compiles of its own accord.
fn is_crate_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let beside_src = !parts.contains(&"src");
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "build.rs"] | [.., "bin", _] | [.., "bin", _, "main.rs"] => {
            true
        }
        // Below `src`, such a folder is a module like any other.
        [.., "tests" | "benches" | "examples", _] | [.., "tests" | "benches" | "examples", _, "main.rs"] => {
            beside_src
        }
        _ => false,
    }
}

/// Every path that a `mod name;`, `#[path = "…"]` or `include!("…")` of this file may stand for.
fn named_by(source: &Source) -> Vec<String> {
    let (dir, _) = source.path.rsplit_once('/').unwrap_or_default();
    let base = folder_of(source);
    let mut named = Vec::new();
    for module in declared_modules(&source.code) {
        named.push(normal(&format!("{base}/{module}.rs")));
        named.push(normal(&format!("{base}/{module}/mod.rs")));
    }
    // Literals are blanked in `code`, so these come from the raw text.
    for marker in ["#[path = \"", "include!(\""] {
        for (at, _) in source.raw.match_indices(marker) {
            let rest = &source.raw[at + marker.len()..];
            if let Some((path, _)) = rest.split_once('"') {
                named.push(normal(&format!("{dir}/{path}")));
            }
        }
    }
    named
}

/// Where the modules that a file declares lie.
fn folder_of(source: &Source) -> String {
    let (dir, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.trim_end_matches(".rs");
    let owns_folder = matches!(stem, "mod" | "lib" | "main") || is_crate_root(&source.path);
    if owns_folder { dir.to_owned() } else { format!("{dir}/{stem}") }
}

/// The modules declared with a semicolon, those inside inline modules by their path below this file.
fn declared_modules(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut words = tokens(code).peekable();
    while let Some(word) = words.next() {
        match word {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last().is_some_and(|(_, at)| *at == depth) {
                    inline.pop();
                }
            }
            "mod" => {
                let Some(name) = words.next() else { break };
                match words.peek() {
                    Some(&";") => {
                        let mut path: Vec<&str> = inline.iter().map(|(name, _)| name.as_str()).collect();
                        path.push(name);
                        found.push(path.join("/"));
                    }
                    Some(&"{") => inline.push((name.to_owned(), depth)),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    found
}

/// Words and single punctuation characters.
fn tokens(code: &str) -> impl Iterator<Item = &str> {
    let mut rest = code;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let len =
            if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, tail) = rest.split_at(len);
        rest = tail;
        Some(token)
    })
}

/// `a/b/../c` as `a/c`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let tree: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect();
        check(&tree).into_iter().map(|finding| finding.path).collect()
    }

    #[test]
    fn modules_are_followed_and_the_rest_is_dead() {
        assert_eq!(
            dead(&[
                (
                    "a/src/lib.rs",
                    "mod one;\npub mod two { mod three; }\n#[path = \"odd/name.rs\"] mod four;\n"
                ),
                ("a/src/one/mod.rs", "mod deep;\n"),
                ("a/src/one/deep.rs", "mod er;\n"),
                ("a/src/one/deep/er.rs", ""),
                ("a/src/two/three.rs", ""),
                ("a/src/odd/name.rs", ""),
                ("a/src/stray.rs", "// mod one;"),
                ("a/build.rs", ""),
                ("a/tests/it.rs", "mod common;"),
                ("a/tests/common/mod.rs", ""),
            ]),
            ["a/src/stray.rs"]
        );
    }

    #[test]
    fn modules_for_tests_only_are_known() {
        let text = "#[cfg(test)]\nmod simulation;\nmod product;\n";
        let found = test_modules(&[Source::new("a/src/shard/mod.rs", text.to_owned())]);
        assert!(found.contains("a/src/shard/simulation.rs") && !found.contains("a/src/shard/product.rs"));
    }

    #[test]
    fn a_mod_in_a_comment_reaches_nothing() {
        assert_eq!(dead(&[("a/src/lib.rs", "// mod b;\n"), ("a/src/b.rs", "")]), ["a/src/b.rs"]);
    }
}
