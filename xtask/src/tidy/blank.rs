//! Blanks comments and literals, each language by its own rules: newlines stay, and everything else keeps its place.

/// Writes `bytes[from..to]` to `out`, newlines kept and all else blanked.
fn blank(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }));
}

fn finish(out: Vec<u8>, raw: &str) -> String {
    // Only whole tokens were blanked, so what is left is UTF-8 still; were it not, the raw text serves.
    String::from_utf8(out).unwrap_or_else(|_| raw.to_owned())
}

pub(super) fn rust(raw: &str) -> String {
    blanked(raw, |bytes, i| match bytes[i] {
        b'/' if bytes.get(i + 1) == Some(&b'/') => line_end(bytes, i),
        b'/' if bytes.get(i + 1) == Some(&b'*') => block_comment_end(bytes, i),
        b'"' => quoted_end(bytes, i, b'"'),
        b'r' | b'b' if !follows_word(bytes, i) => raw_string_end(bytes, i).unwrap_or(i),
        b'\'' => char_end(bytes, i).unwrap_or(i),
        _ => i,
    })
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

pub(super) fn python(raw: &str) -> String {
    blanked(raw, |bytes, i| match bytes[i] {
        b'#' => line_end(bytes, i),
        quote @ (b'"' | b'\'') if bytes[i..].starts_with(&[quote; 3]) => triple_end(bytes, i, quote),
        quote @ (b'"' | b'\'') => quoted_end(bytes, i, quote),
        _ => i,
    })
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

pub(super) fn go(raw: &str) -> String {
    blanked(raw, |bytes, i| match bytes[i] {
        b'/' if bytes.get(i + 1) == Some(&b'/') => line_end(bytes, i),
        b'/' if bytes.get(i + 1) == Some(&b'*') => flat_comment_end(bytes, i),
        b'`' => bytes[i + 1..].iter().position(|byte| *byte == b'`').map_or(bytes.len(), |n| i + n + 2),
        quote @ (b'"' | b'\'') => quoted_end(bytes, i, quote),
        _ => i,
    })
}

pub(super) fn typescript(raw: &str) -> String {
    blanked(raw, |bytes, i| match bytes[i] {
        b'/' if bytes.get(i + 1) == Some(&b'/') => line_end(bytes, i),
        b'/' if bytes.get(i + 1) == Some(&b'*') => flat_comment_end(bytes, i),
        b'/' if begins_value(bytes, i) => regex_end(bytes, i).unwrap_or(i),
        b'`' => template_end(bytes, i),
        quote @ (b'"' | b'\'') => quoted_end(bytes, i, quote),
        _ => i,
    })
}

/// The text without the tokens whose end `token_end` gives; it gives the start where none begins.
fn blanked(raw: &str, token_end: impl Fn(&[u8], usize) -> usize) -> String {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let end = token_end(bytes, i).min(bytes.len());
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

/// A block comment of a language in which they don't nest.
fn flat_comment_end(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start + 2..];
    rest.windows(2).position(|pair| pair == b"*/").map_or(bytes.len(), |n| start + 2 + n + 2)
}

/// A template with all that is inserted into it, templates in there included.
fn template_end(bytes: &[u8], start: usize) -> usize {
    let mut i = start + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'`' => return i + 1,
            b'$' if bytes.get(i + 1) == Some(&b'{') => i = insertion_end(bytes, i + 1),
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of `{…}` in a template.
fn insertion_end(bytes: &[u8], open: usize) -> usize {
    let (mut depth, mut i) = (0_usize, open);
    while i < bytes.len() {
        match bytes[i] {
            b'{' => depth += 1,
            b'}' if depth == 1 => return i + 1,
            b'}' => depth -= 1,
            b'`' => {
                i = template_end(bytes, i);
                continue;
            }
            quote @ (b'"' | b'\'') => {
                i = quoted_end(bytes, i, quote);
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    bytes.len()
}

/// Whether a slash begins a regular expression, rather than dividing what stands before it.
fn begins_value(bytes: &[u8], slash: usize) -> bool {
    let before = bytes[..slash].trim_ascii_end();
    before.ends_with(b"return") || before.last().is_none_or(|byte| b"(,=:[!&|?{};<>+-*%~^".contains(byte))
}

/// The end of a regular expression, its flags apart; `None` if none begins here.
fn regex_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut i, mut in_class) = (start + 1, false);
    while let Some(byte) = bytes.get(i) {
        match byte {
            b'\n' => return None,
            b'\\' => i += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'/' if !in_class => return Some(i + 1),
            _ => {}
        }
        i += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_columns_stay() {
        let text = "let a = \"x.unwrap()\"; // y.unwrap()\nlet b = r#\"\"z\"\"#; /* /* n */ */ c('\\'', '\"', 'é');\n";
        let code = rust(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains("unwrap"));
        assert!(code.contains("let b ="));
        assert!(code.contains("c("));
    }

    #[test]
    fn lifetimes_are_not_literals() {
        assert_eq!(rust("fn f<'a>(x: &'a str) -> &'a str { x }"), "fn f<'a>(x: &'a str) -> &'a str { x }");
    }

    #[test]
    fn python_strings_and_comments_are_blanked() {
        let code = python("x = '''time.sleep(1)\n'''  # time.sleep(2)\ny = 'it\\'s'\n");
        assert!(!code.contains("sleep"));
        assert_eq!(code.lines().count(), 3);
    }

    #[test]
    fn literals_of_go_are_blanked() {
        let text = "a := `f() {\n\\` + \"{\\\"\" /* /* { */ + string('{') // {\nb := 1\n";
        let code = go(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains('{') && code.contains("b := 1"), "{code}");
    }

    #[test]
    fn literals_of_typescript_are_blanked() {
        let text = "const a = `{ ${b(`}${'}'}`, { c })} {` + '{' /* { */; // {\nif (/[/'{]\\/'/.test(d / e)) f / g;\n";
        let code = typescript(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains(['{', '\'']), "{code}");
        assert!(code.contains("const a =") && code.contains(".test(d / e)) f / g;"), "{code}");
    }
}
