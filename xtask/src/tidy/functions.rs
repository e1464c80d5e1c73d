//! Where functions are, and how long they are, in each language that `tidy` reads.

use super::source::{Language, Source};

/// Name and length of each function.
pub(super) fn functions(source: &Source) -> Vec<(String, usize)> {
    match source.language {
        Language::Rust => rust_functions(source),
        Language::Python => python_functions(source),
        Language::Go => go_functions(source),
        Language::TypeScript => typescript_functions(source),
        Language::Other => Vec::new(),
    }
}

fn rust_functions(source: &Source) -> Vec<(String, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let preceded = code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if preceded || name.is_empty() {
            continue;
        }
        // The body opens at the first brace; a semicolon before it (outside `[u8; 4]`) ends a declaration.
        let mut brackets = 0_usize;
        let open = code[at..].char_indices().find_map(|(i, c)| match c {
            '[' | '(' => {
                brackets += 1;
                None
            }
            ']' | ')' => {
                brackets = brackets.saturating_sub(1);
                None
            }
            '{' | ';' if brackets == 0 => Some((at + i, c)),
            _ => None,
        });
        if let Some((open, '{')) = open {
            let end = source.closing_brace(open).min(source.raw.len());
            found.push((name, source.line_at(end) - source.line_at(at) + 1));
        }
    }
    found
}

/// In Python the signature (often an argument a line) and the docstring don't count: what is read for logic does.
fn python_functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.code.lines().collect();
    let indent = |text: &str| text.len() - text.trim_start().len();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let text = line.trim_start();
        let Some(rest) = text.strip_prefix("async def ").or_else(|| text.strip_prefix("def ")) else {
            continue;
        };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let signature = lines[i..].iter().take_while(|line| !line.trim_end().ends_with(':')).count() + 1;
        let body = lines[i..].iter().skip(signature).filter(|below| !below.trim().is_empty());
        found.push((name, body.take_while(|below| indent(below) > indent(line)).count()));
    }
    found
}

/// Functions and methods, as gofmt lays them out: from `func` at the start of a line to `}` at the start of one. What is
/// written inside another function counts there.
fn go_functions(source: &Source) -> Vec<(String, usize)> {
    let lines: Vec<&str> = source.code.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let Some(mut head) = line.strip_prefix("func ") else { continue };
        if head.starts_with('(') {
            head = head.split_once(") ").map_or(head, |(_, method)| method);
        }
        let is_one_line = line.trim_end().ends_with('}');
        let rest = if is_one_line { None } else { lines[i..].iter().position(|line| line.starts_with('}')) };
        found.push((first_word(head).to_owned(), rest.unwrap_or(0) + 1));
    }
    found
}

/// Functions, methods, and arrow functions with a body. Those without a name of their own are called as what they are
/// assigned or passed to is; so the tests of a file are all named `test`.
fn typescript_functions(source: &Source) -> Vec<(String, usize)> {
    let code = &source.code;
    let mut found = Vec::new();
    for (open, _) in code.match_indices('{') {
        let before = code[..open].trim_end();
        let head = if let Some(arrow) = before.strip_suffix("=>") {
            Some(arrow_head(arrow))
        } else {
            function_head(before)
        };
        // `describe` only groups tests.
        let Some((name, start)) = head.filter(|(name, _)| *name != "describe") else { continue };
        let end = source.closing_brace(open).min(source.raw.len());
        found.push((name.to_owned(), source.line_at(end) - source.line_at(start) + 1));
    }
    found
}

/// The name of a function or method whose body comes after `before`, and where it stands.
fn function_head(before: &str) -> Option<(&str, usize)> {
    const STATEMENTS: &[&str] = &["if", "for", "while", "switch", "catch", "with", "await"];
    let parameters = parameters_start(before)?;
    let (name, start) = last_word(without_generics(&before[..parameters]));
    let is_statement = STATEMENTS.contains(&name);
    let is_value = ["extends", "new"].iter().any(|word| before[..start].trim_end().ends_with(word));
    (!name.is_empty() && !is_statement && !is_value).then_some((name, start))
}

/// What an arrow function is called by its surroundings, and where it begins; `before` ends with its parameters.
fn arrow_head(before: &str) -> (&str, usize) {
    let before = before.trim_end();
    let start = parameters_start(before).unwrap_or_else(|| last_word(before).1);
    let outside = without_generics(&before[..start]).trim_end();
    let outside = outside.strip_suffix("async").unwrap_or(outside).trim_end();
    let name = match outside.chars().next_back() {
        Some('=') => assigned_name(&outside[..outside.len() - 1]),
        Some(':') => last_word(&outside[..outside.len() - 1]).0,
        Some('(' | ',') => called_name(outside),
        _ => "",
    };
    (if name.is_empty() { "arrow" } else { name }, start)
}

/// Where the parenthesis of the parameters opens, which `before` ends with, but for the type of the result.
fn parameters_start(before: &str) -> Option<usize> {
    let before = before.trim_end();
    if !before.ends_with(')') {
        return parameters_start(&before[..result_start(before)?]);
    }
    let mut depth = 0_usize;
    before.char_indices().rev().find_map(|(i, c)| {
        match c {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(i)
    })
}

/// Where `: TYPE` begins, which `before` ends with, after parameters.
fn result_start(before: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (i, c) in before.char_indices().rev() {
        match c {
            // The arrow of a function's type.
            '>' if before[..i].ends_with('=') => {}
            ')' | ']' | '}' | '>' => depth += 1,
            '(' | '[' | '{' | '<' => depth = depth.checked_sub(1)?,
            // A type that goes on in another line does so in brackets; what ends there is a statement of its own.
            ';' | '\n' if depth == 0 => return None,
            ':' if depth == 0 => {
                let is_result = before[..i].trim_end().ends_with(')') && !before[i + 1..].trim().is_empty();
                return is_result.then_some(i);
            }
            _ => {}
        }
    }
    None
}

/// `before` without the `<T>` that it may end with.
fn without_generics(before: &str) -> &str {
    let mut depth = 0_usize;
    for (i, c) in before.char_indices().rev() {
        match c {
            '>' => depth += 1,
            '<' if depth == 1 => return &before[..i],
            '<' => depth = depth.saturating_sub(1),
            _ if depth == 0 => return before,
            _ => {}
        }
    }
    before
}

/// The variable, property or field of a statement that goes on with `=`.
fn assigned_name(before: &str) -> &str {
    let statement =
        before.rsplit([';', '\n', '{', '}']).find(|part| !part.trim().is_empty()).unwrap_or_default();
    // A type may follow the name.
    let target = statement.split(':').next().unwrap_or_default();
    last_word(target.trim_end()).0
}

/// The function whose arguments are open at the end of `before`.
fn called_name(before: &str) -> &str {
    let mut depth = 0_usize;
    for (i, c) in before.char_indices().rev() {
        match c {
            ')' | ']' | '}' => depth += 1,
            '(' if depth == 0 => return last_word(without_generics(&before[..i])).0,
            '(' | '[' | '{' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    ""
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// The word that `text` ends with, and where it begins.
fn last_word(text: &str) -> (&str, usize) {
    let text = text.trim_end();
    let start =
        text.char_indices().rev().take_while(|(_, c)| is_word(*c)).last().map_or(text.len(), |(i, _)| i);
    (&text[start..], start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(path: &str, text: &str) -> Vec<(String, usize)> {
        functions(&Source::new(path, text.to_owned()))
    }

    fn named(pairs: &[(&str, usize)]) -> Vec<(String, usize)> {
        pairs.iter().map(|(name, lines)| ((*name).to_owned(), *lines)).collect()
    }

    #[test]
    fn functions_are_measured_in_rust() {
        let text = format!(
            "fn long(\n    a: [u8; 4]) {{\n{}}}\nfn short() {{}}\ntrait T {{ fn declared(&self); }}\n",
            "    x();\n".repeat(78)
        );
        assert_eq!(measured("a.rs", &text), named(&[("long", 81), ("short", 1)]));
    }

    #[test]
    fn functions_are_measured_in_python() {
        let text = format!(
            "\"\"\"Why.\"\"\"\nclass A:\n    async def long(\n        self,\n    ) -> int:\n{}\n    def short(self):\n        return 1\n",
            "        x()\n".repeat(90)
        );
        assert_eq!(measured("a.py", &text), named(&[("long", 90), ("short", 1)]));
    }

    #[test]
    fn functions_are_measured_in_go() {
        let text = "package a\n\nfunc (r *Run[T]) Long(\n\ta interface{},\n) (b struct{}) {\n\tif x {\n\t\ty()\n\t}\n\tz := `\n}\n`\n}\n\n\
                    func short[T any]() string { return \"{\" }\n\nvar x = T{\n}\n";
        assert_eq!(measured("a.go", text), named(&[("Long", 10), ("short", 1)]));
    }

    #[test]
    fn functions_are_measured_in_typescript() {
        let text = "\
            export async function* named<T extends { a: number }>(\n  a: T,\n): AsyncIterable<{ b: T }> {\n  return a;\n}\n\
            class A extends B(C) {\n  get one() { return 1; }\n  private async two(a = {}): Promise<void> {\n    if (a) {\n    } else {\n    }\n    for await (const x of y) {\n    }\n  }\n\
              three = async (a: string): Promise<() => void> => {\n  };\n}\n\
            const four: F = a => {\n};\nconst o = { five: () => {\n}, six(): a is B { } };\n\
            test('{', { timeout: 1 }, async (t) => {\n});\nconst seven = new Promise<void>((resolve) => { });\n\
            switch (f(x)) {\n  case f(x): {\n  }\n}\nfunction eight(f: () => void): x is [\n  B,\n] {}\n\
            interface I { declared(a: string): void; }\ndescribe('a', () => {\n});\n";
        assert_eq!(
            measured("a.ts", text),
            named(&[
                ("named", 5),
                ("one", 1),
                ("two", 7),
                ("three", 2),
                ("four", 2),
                ("five", 2),
                ("six", 1),
                ("test", 2),
                ("Promise", 1),
                ("eight", 3),
            ])
        );
    }
}
