//! Every module says what it is and why: Rust files open with `//!`, Python files with a docstring.

use super::Finding;
use super::source::{Language, Source};

pub(super) fn check(tree: &[Source]) -> Vec<Finding> {
    tree.iter().filter_map(check_file).collect()
}

fn check_file(source: &Source) -> Option<Finding> {
    let mut lines = source.raw.lines().filter(|line| !line.trim().is_empty());
    match source.language {
        Language::Rust => {
            let first = lines.next().unwrap_or_default();
            let said = first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
            (!said).then(|| {
                Finding::new(&source.path, 1, "open the module with `//!`: what it is and why it exists")
            })
        }
        Language::Python => {
            let mut code = lines.skip_while(|line| line.starts_with('#'));
            // An empty file marks a package; there is nothing to say about it.
            let first = code.next()?;
            let said = ["\"\"\"", "r\"\"\"", "'''"].iter().any(|quotes| first.starts_with(quotes));
            (!said).then(|| {
                Finding::new(
                    &source.path,
                    1,
                    "open the module with a docstring: what it is and why it exists",
                )
            })
        }
        Language::Go | Language::TypeScript | Language::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::tidy::tests::findings_in;

    #[test]
    fn a_rust_module_without_header_is_found() {
        assert_eq!(
            findings_in("server/src/lib.rs", "pub fn f() {}\n"),
            ["server/src/lib.rs:1: open the module with `//!`: what it is and why it exists"]
        );
        assert!(findings_in("server/src/lib.rs", "//! Why.\npub fn f() {}\n").is_empty());
    }

    #[test]
    fn a_python_module_without_docstring_is_found() {
        assert_eq!(findings_in("sdk-python/durably/a.py", "import os\n").len(), 1);
        assert!(
            findings_in("sdk-python/durably/a.py", "#!/usr/bin/env python\n\"\"\"Why.\"\"\"\nimport os\n")
                .is_empty()
        );
        assert!(findings_in("sdk-python/durably/__init__.py", "").is_empty());
    }
}
