//! One text file, as the rules see it: raw, and (for Rust and Python) with comments and literals blanked,
//! so that a rule about calls never meets a word in a comment or a string.

/// What a file is written in, as far as a rule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    Python,
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
            _ => Language::Other,
        };
        let code = match language {
            Language::Rust => blank_rust(&raw),
            Language::Python => blank_python(&raw),
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
        self.path.split('/').any(|part| part == "tests") || name.starts_with("test_") || name == "tests.rs"
    }
}

/// Writes `bytes[from..to]` to `out`, newlines kept and all else blanked.
fn blank(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
}

fn finish(out: Vec<u8>, raw: &str) -> String {
    // Only whole tokens were blanked, so what is left is UTF-8 still; were it not, the raw text serves.
    String::from_utf8(out).unwrap_or_else(|_| raw.to_owned())
}

fn blank_rust(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let end = match bytes[i] {
            b'/' if bytes.get(i + 1) == Some(&b'/') => line_end(bytes, i),
            b'/' if bytes.get(i + 1) == Some(&b'*') => block_comment_end(bytes, i),
            b'"' => quoted_end(bytes, i, b'"'),
            b'r' | b'b' if !follows_word(bytes, i) => raw_string_end(bytes, i).unwrap_or(i),
            b'\'' => char_end(bytes, i).unwrap_or(i),
            _ => i,
        };
        if end > i {
            blank(&mut out, &bytes[i..end]);
            i = end;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    finish(out, raw)
}

fn follows_word(bytes: &[u8], i: usize) -> bool {
    i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_')
}

fn line_end(bytes: &[u8], i: usize) -> usize {
    bytes[i..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |n| i + n)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut i) = (0_usize, start);
    while i + 1 < bytes.len() {
        match (bytes[i], bytes[i + 1]) {
            (b'/', b'*') => {
                depth += 1;
                i += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    bytes.len()
}

fn quoted_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut i = start + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            byte if byte == quote => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"`, `r#"…"#`, `br"…"`; `None` if no raw string begins here.
fn raw_string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut i = start;
    if bytes[i] == b'b' {
        i += 1;
    }
    if bytes.get(i) != Some(&b'r') {
        return None;
    }
    i += 1;
    let hashes = bytes[i..].iter().take_while(|byte| **byte == b'#').count();
    i += hashes;
    if bytes.get(i) != Some(&b'"') {
        return None;
    }
    let mut closing = vec![b'"'];
    closing.extend(std::iter::repeat_n(b'#', hashes));
    let rest = &bytes[i + 1..];
    let at = rest.windows(closing.len()).position(|window| window == closing.as_slice())?;
    Some(i + 1 + at + closing.len())
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], start: usize) -> Option<usize> {
    if bytes.get(start + 1) == Some(&b'\\') {
        return Some(quoted_end(bytes, start, b'\''));
    }
    // One character of up to four bytes, then the closing quote.
    (2..=5).find(|n| bytes.get(start + n) == Some(&b'\'')).and_then(|n| {
        let inner = std::str::from_utf8(&bytes[start + 1..start + n]).ok()?;
        (inner.chars().count() == 1).then_some(start + n + 1)
    })
}

fn blank_python(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let end = match bytes[i] {
            b'#' => line_end(bytes, i),
            quote @ (b'"' | b'\'') => {
                if bytes[i..].starts_with(&[quote; 3]) {
                    triple_end(bytes, i, quote)
                } else {
                    quoted_end(bytes, i, quote)
                }
            }
            _ => i,
        };
        if end > i {
            blank(&mut out, &bytes[i..end.min(bytes.len())]);
            i = end;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    finish(out, raw)
}

fn triple_end(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut i = start + 3;
    while i < bytes.len() {
        if bytes[i] == b'\\' {
            i += 2;
        } else if bytes[i..].starts_with(&[quote; 3]) {
            return i + 3;
        } else {
            i += 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(text: &str) -> Source {
        Source::new("a.rs", text.to_owned())
    }

    #[test]
    fn comments_and_literals_are_blanked_and_columns_stay() {
        let text = "let a = \"x.unwrap()\"; // y.unwrap()\nlet b = r#\"\"z\"\"#; /* /* n */ */ c('\\'', '\"', 'é');\n";
        let source = rust(text);
        assert_eq!(source.code.len(), text.len());
        assert!(!source.code.contains("unwrap"));
        assert!(source.code.contains("let b ="));
        assert!(source.code.contains("c("));
    }

    #[test]
    fn lifetimes_are_not_literals() {
        assert_eq!(
            rust("fn f<'a>(x: &'a str) -> &'a str { x }").code,
            "fn f<'a>(x: &'a str) -> &'a str { x }"
        );
    }

    #[test]
    fn python_strings_and_comments_are_blanked() {
        let source =
            Source::new("a.py", "x = '''time.sleep(1)\n'''  # time.sleep(2)\ny = 'it\\'s'\n".to_owned());
        assert!(!source.code.contains("sleep"));
        assert_eq!(source.code.lines().count(), 3);
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
