//! Files and folders that documents name are there: a recipe that leads to a file which has gone leads nowhere.
//!
//! Looked at is what stands between backticks and looks like a path, and where links lead. A path that begins with one of the
//! root's folders is a whole one, from there or from the document; of any other the end is enough, such as `run.go`.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Source;

/// Names with these endings are files, even without a folder in front.
const ENDINGS: &[&str] = &[
    ".rs", ".py", ".go", ".ts", ".java", ".sh", ".md", ".toml", ".proto", ".txt", ".h", ".jsonl", ".ratchet",
];

pub(super) fn check(tree: &[Source]) -> Vec<Finding> {
    let known = Known::new(tree);
    // Decisions tell what was so when they were taken.
    let is_document = |path: &str| path.rsplit_once('.').is_some_and(|(_, ext)| ext == "md");
    let is_living = |path: &str| is_document(path) && !path.starts_with("docs/decisions/");
    tree.iter()
        .filter(|source| is_living(&source.path))
        .flat_map(|source| check_file(source, &known))
        .collect()
}

/// All files and folders, whole and by their ends.
struct Known<'a> {
    whole: BTreeSet<&'a str>,
    ends: BTreeSet<&'a str>,
}

impl<'a> Known<'a> {
    fn new(tree: &'a [Source]) -> Self {
        let slashes = |path: &'a str| path.match_indices('/').map(|(at, _)| at);
        let mut whole = BTreeSet::new();
        for source in tree {
            whole.insert(source.path.as_str());
            whole.extend(slashes(&source.path).map(|at| &source.path[..at]));
        }
        let ends = whole.iter().flat_map(|path| slashes(path).map(|at| &path[at + 1..])).collect();
        Self { whole, ends }
    }

    /// Whether what stands between backticks is a path, and one that leads nowhere.
    fn lacks(&self, home: &str, span: &str) -> bool {
        let is_plain = span.chars().all(|c| c.is_alphanumeric() || "/._-<>".contains(c));
        let (first, rest) = span.split_once('/').unwrap_or((span, ""));
        if !is_plain || first.is_empty() {
            return false;
        }
        if self.whole.contains(first) && !rest.is_empty() {
            return !["", home].iter().any(|base| self.whole.contains(joined(base, concrete(span)).as_str()));
        }
        // Hosts and packages have a dot in front of the first slash; what is built is nowhere in the tree.
        let is_elsewhere = first == "target" || (span.contains('/') && first.contains('.'));
        let is_file =
            ENDINGS.iter().any(|ending| span.strip_suffix(ending).is_some_and(|name| !name.is_empty()));
        let path = concrete(span);
        (is_file || span.ends_with('/'))
            && !is_elsewhere
            && !path.is_empty()
            && !self.ends.contains(path)
            && !self.whole.contains(path)
    }
}

fn check_file(source: &Source, known: &Known) -> Vec<Finding> {
    let home = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut findings = Vec::new();
    let mut is_code = false;
    for (i, line) in source.raw.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || source.allows("path", i + 1) {
            continue;
        }
        let spans = line.split('`').skip(1).step_by(2).filter(|span| known.lacks(home, span));
        let links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        let links = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
        let links = links.filter(|link| !known.whole.contains(joined(home, concrete(link)).as_str()));
        findings.extend(spans.chain(links).map(|path| {
            Finding::new(&source.path, i + 1, format!("there is no `{path}`: say what takes its place"))
        }));
    }
    findings
}

/// `a/b` of `a/b/<kind>.rs`, which stands for several, and of `a/b#part`.
fn concrete(path: &str) -> &str {
    let path = path.split('#').next().unwrap_or_default();
    let path = match path.find('<') {
        Some(at) => path[..at].rsplit_once('/').map_or("", |(folder, _)| folder),
        None => path,
    };
    path.trim_end_matches('/')
}

/// Where a path leads from the folder `home`.
fn joined(home: &str, link: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in home.split('/').chain(link.split('/')) {
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

    fn findings(document: &str) -> Vec<String> {
        let files = [
            "server/src/store/mod.rs",
            "server/src/store/memory.rs",
            "docs/a.md",
            "sdk-go/internal/flow/run.go",
        ];
        let mut tree: Vec<Source> = files.iter().map(|path| Source::new(path, String::new())).collect();
        tree.push(Source::new("docs/guide.md", document.to_owned()));
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_may_be_named_in_short() {
        let document = "See `server/src/store/` and, in it, `mod.rs`; [a](a.md), [b](../docs/a.md#part), `<kind>.rs`.\n\
                        - `flow/`, `flow/run.go`\n- `server/src/store/<kind>.rs`\n";
        assert_eq!(findings(document), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_path_of_the_tree_is_left_alone() {
        let document = "`target/package`, `go.temporal.io/sdk/client`, `@durably/client`, `cargo xtask test`, `/v1/tasks`, `a.b`,\n\
                        `GET/POST`, `json/plain`, [elsewhere](https://example.com/a.md)\n```sh\nserver/gone.rs\n```\n";
        assert_eq!(findings(document), Vec::<String>::new());
    }

    #[test]
    fn what_has_gone_is_found() {
        assert_eq!(
            findings("a\n`server/src/store/sqlite.rs`\n"),
            ["docs/guide.md:2: there is no `server/src/store/sqlite.rs`: say what takes its place"]
        );
        assert_eq!(findings("`store/sqlite.rs`, `sqlite.rs`, `memory.rs`, `sqlite/`\n").len(), 3);
        assert_eq!(findings("`server/src/gone/<kind>.rs`\n").len(), 1);
        assert_eq!(findings("[a](gone.md)\n").len(), 1);
        assert!(findings("<!-- tidy-allow: path: it is the user's -->\n`workflows.ts`\n").is_empty());
    }
}
