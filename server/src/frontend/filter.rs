//! Parses the text of a list filter to a tree that the store evaluates with bound values.
//!
//! Keywords ignore case, field names do not; `AND` binds tighter than `OR`; a null field satisfies no comparison.

use durably_proto::temporal::api::enums::v1::WorkflowExecutionStatus;

use crate::store::{Field, Filter, Op, Value};

/// Deepest nesting of parentheses; recursion stays bounded whatever a client sends.
const MAX_DEPTH: usize = 64;

const SUPPORTED: &str = "supported are the fields WorkflowId, RunId, WorkflowType, TaskQueue, ExecutionStatus, \
                         StartTime, ExecutionTime, CloseTime, HistoryLength, HistorySizeBytes and \
                         StateTransitionCount; =, !=, <, <=, >, >=, [NOT] IN (...), BETWEEN ... AND ..., \
                         IS [NOT] NULL, STARTS_WITH; AND, OR and parentheses";

/// Parses a list filter; an empty text matches everything. The error says where and what is supported.
pub(super) fn parse(text: &str) -> Result<Filter, String> {
    let mut parser = Parser { tokens: lex(text)?, next: 0, depth: 0 };
    if parser.tokens.is_empty() {
        return Ok(Filter::All);
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
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::Or(parts) })
    }

    fn all(&mut self) -> Result<Filter, String> {
        let mut parts = vec![self.condition()?];
        while self.accept_word("AND") {
            parts.push(self.condition()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Filter::And(parts) })
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
            Some(Token::Word(name)) => named(&name)
                .ok_or_else(|| format!("{name} is not a field that can be filtered by; {SUPPORTED}"))?,
            other => return Err(unexpected(other.as_ref(), "the name of a field")),
        };
        self.comparison(field)
    }

    fn comparison(&mut self, field: Field) -> Result<Filter, String> {
        if self.accept_word("IS") {
            let negated = self.accept_word("NOT");
            return if self.accept_word("NULL") {
                Ok(negate(Filter::IsNull(field), negated))
            } else {
                Err(unexpected(self.take().as_ref(), "NULL"))
            };
        }
        let negated = self.accept_word("NOT");
        if self.accept_word("IN") {
            let found = Filter::In(field, self.list(field)?);
            let known = negate(Filter::IsNull(field), true);
            return Ok(if negated { Filter::And(vec![known, negate(found, true)]) } else { found });
        }
        if negated {
            return Err(unexpected(self.take().as_ref(), "IN"));
        }
        if self.accept_word("BETWEEN") {
            let low = self.value(field)?;
            if !self.accept_word("AND") {
                return Err(unexpected(self.take().as_ref(), "AND and the upper bound"));
            }
            let high = self.value(field)?;
            return Ok(Filter::And(vec![
                Filter::Compare(field, Op::GreaterOrEqual, low),
                Filter::Compare(field, Op::LessOrEqual, high),
            ]));
        }
        if self.accept_word("STARTS_WITH") {
            return match self.value(field)? {
                prefix @ Value::Text(_) => Ok(Filter::Compare(field, Op::StartsWith, prefix)),
                Value::Int(_) => {
                    Err(format!("STARTS_WITH needs a text field, {} is none; {SUPPORTED}", name(field)))
                }
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
        Ok(Filter::Compare(field, op, self.value(field)?))
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
        let found = token.as_ref().map_or_else(|| "the end of the filter".to_owned(), ToString::to_string);
        let (value, wanted) = match (kind(field), token) {
            (Kind::Time, Some(Token::Number(nanos))) => (Some(Value::Int(nanos)), ""),
            (Kind::Time, Some(Token::Text(text))) => (time(&text).map(Value::Int), TIME),
            (Kind::Time, _) => (None, TIME),
            (Kind::Status, Some(Token::Text(text))) => (status(&text).map(|s| Value::Int(s.into())), STATUS),
            (Kind::Status, _) => (None, STATUS),
            (Kind::Text, Some(Token::Text(text))) => (Some(Value::Text(text)), ""),
            (Kind::Text, _) => (None, "a quoted text such as 'name'"),
            (Kind::Int, Some(Token::Number(number))) => (Some(Value::Int(number)), ""),
            (Kind::Int, _) => (None, "a whole number"),
        };
        value.ok_or_else(|| format!("{} is compared with {wanted}, not with {found}", name(field)))
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

const TIME: &str = "a quoted time such as '2026-01-31T12:00:00Z'";
const STATUS: &str =
    "'Running', 'Completed', 'Failed', 'Canceled', 'Terminated', 'ContinuedAsNew' or 'TimedOut'";

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Status,
    Time,
    Int,
}

const FIELDS: [(&str, Field, Kind); 11] = [
    ("WorkflowId", Field::WorkflowId, Kind::Text),
    ("RunId", Field::RunId, Kind::Text),
    ("WorkflowType", Field::WorkflowType, Kind::Text),
    ("TaskQueue", Field::TaskQueue, Kind::Text),
    ("ExecutionStatus", Field::ExecutionStatus, Kind::Status),
    ("StartTime", Field::StartTime, Kind::Time),
    ("ExecutionTime", Field::ExecutionTime, Kind::Time),
    ("CloseTime", Field::CloseTime, Kind::Time),
    ("HistoryLength", Field::HistoryLength, Kind::Int),
    ("HistorySizeBytes", Field::HistorySizeBytes, Kind::Int),
    ("StateTransitionCount", Field::StateTransitionCount, Kind::Int),
];

fn named(name: &str) -> Option<Field> {
    FIELDS.iter().find(|(known, ..)| *known == name).map(|(_, field, _)| *field)
}

fn name(field: Field) -> &'static str {
    FIELDS.iter().find(|(_, known, _)| *known == field).map_or("", |(name, ..)| name)
}

fn kind(field: Field) -> Kind {
    FIELDS.iter().find(|(_, known, _)| *known == field).map_or(Kind::Text, |(.., kind)| *kind)
}

fn negate(filter: Filter, negated: bool) -> Filter {
    if negated { Filter::Not(Box::new(filter)) } else { filter }
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

fn status(text: &str) -> Option<i32> {
    let status = match text {
        "Running" => WorkflowExecutionStatus::Running,
        "Completed" => WorkflowExecutionStatus::Completed,
        "Failed" => WorkflowExecutionStatus::Failed,
        "Canceled" => WorkflowExecutionStatus::Canceled,
        "Terminated" => WorkflowExecutionStatus::Terminated,
        "ContinuedAsNew" => WorkflowExecutionStatus::ContinuedAsNew,
        "TimedOut" => WorkflowExecutionStatus::TimedOut,
        _ => WorkflowExecutionStatus::from_str_name(text)?,
    };
    Some(status as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(field: Field, value: &str) -> Filter {
        Filter::Compare(field, Op::Equal, Value::Text(value.into()))
    }

    #[test]
    fn trees() {
        use Field::*;
        let known = Filter::Not(Box::new(Filter::IsNull(WorkflowType)));
        let time = |op, nanos| Filter::Compare(StartTime, op, Value::Int(nanos));
        for (query, expected) in [
            ("", Filter::All),
            ("WorkflowId = 'order-7'", equal(WorkflowId, "order-7")),
            ("`WorkflowId` = \"it's\"", equal(WorkflowId, "it's")),
            ("WorkflowId = 'it''s'", equal(WorkflowId, "it's")),
            (
                "RunId = 'a' or RunId = 'b' and TaskQueue='c'",
                Filter::Or(vec![
                    equal(RunId, "a"),
                    Filter::And(vec![equal(RunId, "b"), equal(TaskQueue, "c")]),
                ]),
            ),
            (
                "(RunId = 'a' OR RunId = 'b') AND TaskQueue = 'c'",
                Filter::And(vec![
                    Filter::Or(vec![equal(RunId, "a"), equal(RunId, "b")]),
                    equal(TaskQueue, "c"),
                ]),
            ),
            ("ExecutionStatus != 'TimedOut'", Filter::Compare(ExecutionStatus, Op::NotEqual, Value::Int(7))),
            (
                "ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING'",
                Filter::Compare(ExecutionStatus, Op::Equal, Value::Int(1)),
            ),
            ("StartTime > '2023-11-14T22:13:20Z'", time(Op::Greater, 1_700_000_000_000_000_000)),
            ("StartTime <= 5", time(Op::LessOrEqual, 5)),
            (
                "StartTime BETWEEN '1970-01-01' AND '1970-01-02'",
                Filter::And(vec![time(Op::GreaterOrEqual, 0), time(Op::LessOrEqual, 86_400_000_000_000)]),
            ),
            ("CloseTime IS NULL", Filter::IsNull(CloseTime)),
            ("CloseTime is not null", Filter::Not(Box::new(Filter::IsNull(CloseTime)))),
            (
                "WorkflowType IN ('A', 'B')",
                Filter::In(WorkflowType, vec![Value::Text("A".into()), Value::Text("B".into())]),
            ),
            (
                "WorkflowType NOT IN ('A')",
                Filter::And(vec![
                    known,
                    Filter::Not(Box::new(Filter::In(WorkflowType, vec![Value::Text("A".into())]))),
                ]),
            ),
            (
                "WorkflowId STARTS_WITH 'order-'",
                Filter::Compare(WorkflowId, Op::StartsWith, Value::Text("order-".into())),
            ),
        ] {
            assert_eq!(parse(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_what_is_supported() {
        let deep = "(".repeat(MAX_DEPTH + 1);
        for (query, words) in [
            ("CustomField = 'x'", ["CustomField is not a field", "supported are the fields"]),
            ("WorkflowId = 7", ["WorkflowId is compared with", "quoted text"]),
            ("WorkflowId = 'x", ["no closing '", "'x"]),
            ("WorkflowId", ["found the end", "a comparison"]),
            ("WorkflowId = ", ["the end of the filter", "quoted text"]),
            ("HistoryLength > 'many'", ["a whole number", "not with 'many'"]),
            ("WorkflowId = 'x' ORDER BY StartTime", ["found ORDER", "AND, OR or the end"]),
            ("StartTime > 'yesterday'", ["2026-01-31T12:00:00Z", "not with 'yesterday'"]),
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
