//! One text file, as the rules see it: raw, and (for languages that rules know) with comments and literals blanked,
//! so that a rule about calls never meets a word in a comment or a string.

use super::blank;

/// What a file is written in, as far as a rule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    Python,
    Go,
    TypeScript,
    Other,
}

/// A text file of the tree.
pub(super) struct Source {
    /// Relative to the root, with forward slashes.
    pub(super) path: String,
    pub(super) raw: String,
    /// `raw` with comments and literals blanked by spaces; same number of lines, same columns (in bytes).
    pub(super) code: String,
    pub(super) language: Language,
}

impl Source {
    pub(super) fn new(path: &str, raw: String) -> Self {
        let language = match path.rsplit_once('.').map(|(_, ext)| ext) {
            Some("rs") => Language::Rust,
            Some("py" | "pyi") => Language::Python,
            Some("go") => Language::Go,
            Some("ts" | "mts" | "cts") => Language::TypeScript,
            _ => Language::Other,
        };
        let code = match language {
            Language::Rust => blank::rust(&raw),
            Language::Python => blank::python(&raw),
            Language::Go => blank::go(&raw),
            Language::TypeScript => blank::typescript(&raw),
            Language::Other => raw.clone(),
        };
        Self { path: path.to_owned(), raw, code, language }
    }

    /// The line of the byte at `offset`, counted from 1.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.raw.as_bytes()[..offset].split(|byte| *byte == b'\n').count()
    }

    /// Whether the line (counted from 1), or the one above it, says `tidy-allow: RULE: reason`.
    pub(super) fn allows(&self, rule: &str, line: usize) -> bool {
        let marker = format!("tidy-allow: {rule}: ");
        let first = line.saturating_sub(2);
        self.raw
            .lines()
            .skip(first)
            .take(line - first)
            .any(|text| text.split_once(&marker).is_some_and(|(_, reason)| !reason.trim().is_empty()))
    }

    /// The lines (counted from 1, both ends included) of each Rust module that is compiled for tests only.
    pub(super) fn rust_test_regions(&self) -> Vec<(usize, usize)> {
        let mut regions = Vec::new();
        let mut from = 0;
        while let Some(found) = self.code[from..].find("#[cfg(test)]") {
            let start = from + found;
            let end = match self.code[start..].find(['{', ';']) {
                Some(open) if self.code.as_bytes()[start + open] == b'{' => self.closing_brace(start + open),
                Some(semicolon) => start + semicolon,
                None => self.code.len(),
            };
            regions.push((self.line_at(start), self.line_at(end.min(self.raw.len()))));
            from = end.max(start + 1);
            if from >= self.code.len() {
                break;
            }
        }
        regions
    }

    /// The byte of the brace that closes the one at `open`; the end of the file if none does.
    pub(super) fn closing_brace(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (i, byte) in self.code.bytes().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return i;
                    }
                }
                _ => {}
            }
        }
        self.code.len()
    }

    /// Whether the file as a whole is a test: it lies in a folder `tests`, or is named as one.
    pub(super) fn is_test_file(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        let is_named_so = name.starts_with("test_") || name == "tests.rs" || name.ends_with("_test.go");
        is_named_so || name.ends_with(".test.ts") || self.path.split('/').any(|part| part == "tests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Source {
        Source::new("a.rs", text.to_owned())
    }

    #[test]
    fn test_regions_span_their_braces() {
        let source = rust("//! x\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\nfn b() {}\n");
        assert_eq!(source.rust_test_regions(), vec![(3, 6)]);
    }

    #[test]
    fn an_allowance_needs_a_reason() {
        let source = rust(
            "// tidy-allow: sleep: the fake server is slow on purpose\nsleep();\n// tidy-allow: sleep: \nsleep();\n",
        );
        assert!(source.allows("sleep", 2));
        assert!(!source.allows("sleep", 4));
    }
}
