//! The tree names no path of one person's machine: it would work there and nowhere else.

use super::Finding;
use super::source::Source;

/// Split, so that this file doesn't find itself.
const PREFIXES: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("C:\\\\", "Users")];

pub(super) fn check(tree: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree {
        for (i, line) in source.raw.lines().enumerate() {
            if PREFIXES.iter().any(|prefix| names_path(line, prefix)) && !source.allows("machine-path", i + 1)
            {
                findings.push(Finding::new(
                    &source.path,
                    i + 1,
                    "names a path of one machine; take it from an argument, the environment or a temporary folder",
                ));
            }
        }
    }
    findings
}

/// Whether `prefix` begins a path in `line`, rather than standing in the middle of one such as a URL.
fn names_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | ')'))
    })
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::findings_in;

    #[test]
    fn absolute_home_folders_are_found_and_urls_are_not() {
        let path = format!("state in /{}/ann/state.db\n", "home");
        assert_eq!(findings_in("docs/a.md", &path).len(), 1);
        let url = format!("https://example.org/{}/page\n", "home");
        assert!(findings_in("docs/a.md", &url).is_empty());
    }
}
