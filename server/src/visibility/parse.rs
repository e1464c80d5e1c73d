//! Parses the text of a list filter. Keywords ignore case, field names do not; `AND` binds tighter than `OR`.

use durably_proto::temporal::api::enums::v1::WorkflowExecutionStatus;

use super::{Field, Filter, Op, Value};

/// Deepest nesting of parentheses; recursion stays bounded whatever a client sends.
const MAX_DEPTH: usize = 64;

const SUPPORTED: &str = "supported are the fields WorkflowId, RunId, WorkflowType, TaskQueue, ExecutionStatus, \
                         StartTime and CloseTime; =, !=, <, <=, >, >=, [NOT] IN (...), BETWEEN ... AND ..., \
                         IS [NOT] NULL, STARTS_WITH; AND, OR and parentheses";

/// Parses a list filter; an empty text matches everything. The error says where and what is supported.
pub fn parse(text: &str) -> Result<Filter, String> {
    let mut parser = Parser { tokens: lex(text)?, next: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Ok(Filter::All(Vec::new()));
    }
    let filter = parser.any()?;
    match parser.take() {
        None => Ok(filter),
        Some(token) => Err(unexpected(Some(&token), "AND, OR or the end")),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(i64),
    Symbol(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word}"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Symbol(symbol) => write!(f, "{symbol}"),
        }
    }
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [&str; 10] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

fn lex(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            tokens.push(Token::Symbol(if *symbol == "<>" { "!=" } else { symbol }));
            rest = &rest[symbol.len()..];
        } else if matches!(first, '\'' | '"' | '`') {
            let (quoted, after) = quoted(rest, first)?;
            tokens.push(if first == '`' { Token::Word(quoted) } else { Token::Text(quoted) });
            rest = after;
        } else {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.')))
                .unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("'{first}' is not part of a list filter; {SUPPORTED}"));
            }
            let (word, after) = rest.split_at(end);
            tokens.push(word.parse().map_or_else(|_| Token::Word(word.to_owned()), Token::Number));
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Reads a quoted text; the quote is doubled or follows a backslash inside it.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if character == quote => match characters.peek() {
                Some((_, following)) if *following == quote => {
                    value.push(quote);
                    characters.next();
                }
                _ => return Ok((value, &text[index + quote.len_utf8()..])),
            },
            _ => value.push(character),
        }
    }
    Err(format!("the text {text} has no closing {quote}; close it, or double a {quote} that belongs to it"))
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.all()?];
        while self.accept_word("OR") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Any(parts) })
    }

    fn all(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.condition()?];
        while self.accept_word("AND") {
            parts.push(self.condition()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::All(parts) })
    }

    fn condition(&mut self) -> Result<Filter, String> {
        if self.accept_symbol("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(format!("more than {MAX_DEPTH} nested parentheses; flatten the filter"));
            }
            let inner = self.any()?;
            self.depth -= 1;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        let field = match self.take() {
            Some(Token::Word(name)) => Field::named(&name)
                .ok_or_else(|| format!("{name} is not a field that can be filtered by; {SUPPORTED}"))?,
            other => return Err(unexpected(other.as_ref(), "the name of a field")),
        };
        self.comparison(field)
    }

    fn comparison(&mut self, field: Field) -> Result<Filter, String> {
        if self.accept_word("IS") {
            let negated = self.accept_word("NOT");
            return if self.accept_word("NULL") {
                Ok(Filter::Null { field, negated })
            } else {
                Err(unexpected(self.take().as_ref(), "NULL"))
            };
        }
        let negated = self.accept_word("NOT");
        if self.accept_word("IN") {
            return Ok(Filter::In { field, values: self.list(field)?, negated });
        }
        if negated {
            return Err(unexpected(self.take().as_ref(), "IN"));
        }
        if self.accept_word("BETWEEN") {
            let low = self.value(field)?;
            if !self.accept_word("AND") {
                return Err(unexpected(self.take().as_ref(), "AND and the upper bound"));
            }
            return Ok(Filter::Between { field, low, high: self.value(field)? });
        }
        if self.accept_word("STARTS_WITH") {
            return match self.value(field)? {
                Value::Text(prefix) => Ok(Filter::StartsWith { field, prefix }),
                _ => Err(format!("STARTS_WITH needs a text field, {} is none; {SUPPORTED}", field.name())),
            };
        }
        let op = match self.take() {
            Some(Token::Symbol("=")) => Op::Equal,
            Some(Token::Symbol("!=")) => Op::NotEqual,
            Some(Token::Symbol("<")) => Op::Less,
            Some(Token::Symbol(">")) => Op::Greater,
            Some(Token::Symbol("<=")) => Op::LessOrEqual,
            Some(Token::Symbol(">=")) => Op::GreaterOrEqual,
            other => return Err(unexpected(other.as_ref(), "a comparison")),
        };
        Ok(Filter::Compare { field, op, value: self.value(field)? })
    }

    fn list(&mut self, field: Field) -> Result<Vec<Value>, String> {
        self.expect_symbol("(")?;
        let mut values = vec![self.value(field)?];
        while self.accept_symbol(",") {
            values.push(self.value(field)?);
        }
        self.expect_symbol(")")?;
        Ok(values)
    }

    fn value(&mut self, field: Field) -> Result<Value, String> {
        let token = self.take();
        let bad = |what: &str| Err(format!("{} is compared with {what}", field.name()));
        match (field, token) {
            (Field::StartTime | Field::CloseTime, Some(Token::Number(nanos))) => Ok(Value::Time(nanos)),
            (Field::StartTime | Field::CloseTime, Some(Token::Text(text))) => match time(&text) {
                Some(nanos) => Ok(Value::Time(nanos)),
                None => bad(&format!("a time such as '2026-01-31T12:00:00Z', not with '{text}'")),
            },
            (Field::StartTime | Field::CloseTime, _) => bad("a quoted time such as '2026-01-31T12:00:00Z'"),
            (Field::ExecutionStatus, Some(Token::Text(text))) => match status(&text) {
                Some(status) => Ok(Value::Status(status)),
                None => bad(&format!(
                    "'Running', 'Completed', 'Failed', 'Canceled', 'Terminated', 'ContinuedAsNew' or 'TimedOut', \
                     not with '{text}'"
                )),
            },
            (Field::ExecutionStatus, _) => bad("a quoted status such as 'Running'"),
            (_, Some(Token::Text(text))) => Ok(Value::Text(text)),
            (_, Some(token)) => bad(&format!("a quoted text such as 'name', not with {token}")),
            (_, None) => bad("a quoted text such as 'name'; the filter ends before it"),
        }
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found =
            matches!(self.tokens.get(self.next), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.next += usize::from(found);
        found
    }

    fn accept_symbol(&mut self, symbol: &'static str) -> bool {
        let found = self.tokens.get(self.next) == Some(&Token::Symbol(symbol));
        self.next += usize::from(found);
        found
    }

    fn expect_symbol(&mut self, symbol: &'static str) -> Result<(), String> {
        if self.accept_symbol(symbol) { Ok(()) } else { Err(unexpected(self.take().as_ref(), symbol)) }
    }
}

fn unexpected(token: Option<&Token>, wanted: &str) -> String {
    let found = token.map_or_else(|| "the end".to_owned(), ToString::to_string);
    format!("found {found} where {wanted} should be; {SUPPORTED}")
}

/// RFC 3339, or a date alone (its midnight, UTC), as nanoseconds since the epoch.
fn time(text: &str) -> Option<i64> {
    let stamp: prost_types::Timestamp = text.parse().ok()?;
    stamp.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(stamp.nanos))
}

fn status(text: &str) -> Option<WorkflowExecutionStatus> {
    Some(match text {
        "Running" => WorkflowExecutionStatus::Running,
        "Completed" => WorkflowExecutionStatus::Completed,
        "Failed" => WorkflowExecutionStatus::Failed,
        "Canceled" => WorkflowExecutionStatus::Canceled,
        "Terminated" => WorkflowExecutionStatus::Terminated,
        "ContinuedAsNew" => WorkflowExecutionStatus::ContinuedAsNew,
        "TimedOut" => WorkflowExecutionStatus::TimedOut,
        _ => return WorkflowExecutionStatus::from_str_name(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_is_wrong_and_what_is_supported() {
        let deep = "(".repeat(MAX_DEPTH + 1);
        for (query, words) in [
            ("CustomField = 'x'", ["CustomField is not a field", "supported are the fields"]),
            ("WorkflowId = 7", ["WorkflowId is compared with", "quoted text"]),
            ("WorkflowId = 'x", ["no closing '", "'x"]),
            ("WorkflowId", ["found the end", "a comparison"]),
            ("WorkflowId = ", ["the filter ends", "quoted text"]),
            ("WorkflowId = 'x' ORDER BY StartTime", ["found ORDER", "AND, OR or the end"]),
            ("StartTime > 'yesterday'", ["StartTime", "2026-01-31T12:00:00Z"]),
            ("ExecutionStatus = 'Sleeping'", ["'Running'", "not with 'Sleeping'"]),
            ("WorkflowId NOT 'x'", ["where IN should be", "'x'"]),
            ("WorkflowId IN ()", ["not with )", "WorkflowId"]),
            ("(WorkflowId = 'x'", ["found the end where )", "supported"]),
            ("WorkflowId = 'x'; DROP TABLE executions", ["';' is not part", "supported"]),
            ("StartTime STARTS_WITH '2026-01-31T12:00:00Z'", ["text field", "StartTime"]),
            ("= 'x'", ["found =", "the name of a field"]),
            (deep.as_str(), ["nested parentheses", "64"]),
        ] {
            let error = parse(query).expect_err(query);
            for word in words {
                assert!(error.contains(word), "{query}: {error:?} lacks {word:?}");
            }
        }
    }
}
