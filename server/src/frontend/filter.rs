//! Parses the text of a list filter to a tree that the store evaluates with bound values.
//!
//! Keywords ignore case, field names do not; `AND` binds tighter than `OR`; a null field satisfies no comparison.

use durably_proto::temporal::api::enums::v1::WorkflowExecutionStatus;

use crate::store::{Field, Filter, Kind, Op, Value, parse_time};

/// Deepest nesting of parentheses; recursion stays bounded whatever a client sends.
const MAX_DEPTH: usize = 64;
/// Comparisons in a filter: each costs time for each run that is looked at.
const MAX_TERMS: usize = 100;
/// Values in all of a filter's lists.
const MAX_VALUES: usize = 1_000;

/// What can be asked for, in the words of an error message.
fn supported() -> String {
    let names = Field::ALL.map(|field| field.name.into_owned());
    format!(
        "supported are the fields {}; =, !=, <, <=, >, >=, [NOT] IN (...), BETWEEN ... AND ..., IS [NOT] NULL, \
         STARTS_WITH; AND, OR and parentheses",
        names.join(", ")
    )
}

/// Parses a list filter; an empty text matches everything. The error says where and what is supported.
pub(super) fn parse(text: &str) -> Result<Filter, String> {
    let mut parser = Parser::of(text)?;
    let filter = parser.filter()?;
    match parser.take() {
        None => Ok(filter),
        Some(token) => Err(unexpected(Some(&token), "AND, OR or the end")),
    }
}

/// Parses a count's filter, behind which `GROUP BY ExecutionStatus` may stand; true if it does.
pub(super) fn parse_count(text: &str) -> Result<(Filter, bool), String> {
    let mut parser = Parser::of(text)?;
    let filter = parser.filter()?;
    let grouped = parser.accept_word("GROUP");
    if grouped {
        if !parser.accept_word("BY") {
            return Err(unexpected(parser.take().as_ref(), "BY"));
        }
        if !parser.accept_name(&Field::EXECUTION_STATUS.name) {
            return Err(unexpected(parser.take().as_ref(), "ExecutionStatus, the only field to group by,"));
        }
    }
    match parser.take() {
        None => Ok((filter, grouped)),
        Some(token) => Err(unexpected(Some(&token), "AND, OR, GROUP BY or the end")),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(i64),
    Decimal(f64),
    Symbol(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word}"),
            Self::Text(text) => write!(f, "'{text}'"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Decimal(number) => write!(f, "{number:?}"),
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
                return Err(format!("'{first}' is not part of a list filter; {}", supported()));
            }
            let (word, after) = rest.split_at(end);
            tokens.push(number(word).unwrap_or_else(|| Token::Word(word.to_owned())));
            rest = after;
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// A whole number, or one with a point. Not all that Rust reads as a number: `inf` and `nan` are words.
fn number(word: &str) -> Option<Token> {
    if !word.ends_with(|last: char| last.is_ascii_digit()) {
        return None;
    }
    word.parse().map(Token::Number).or_else(|_| word.parse().map(Token::Decimal)).ok()
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
    terms: usize,
    values: usize,
}

impl Parser {
    fn of(text: &str) -> Result<Self, String> {
        Ok(Self { tokens: lex(text)?, next: 0, depth: 0, terms: 0, values: 0 })
    }

    fn filter(&mut self) -> Result<Filter, String> {
        let empty = match self.tokens.get(self.next) {
            None => true,
            Some(Token::Word(word)) => word.eq_ignore_ascii_case("GROUP"),
            Some(_) => false,
        };
        if empty { Ok(Filter::All) } else { self.any() }
    }

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
            Some(Token::Word(name)) => Field::named(&name)
                .ok_or_else(|| format!("{name} is not a field that can be filtered by; {}", supported()))?,
            other => return Err(unexpected(other.as_ref(), "the name of a field")),
        };
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(format!(
                "more than {MAX_TERMS} comparisons; use IN (...) for many values of a field, or several lists"
            ));
        }
        self.comparison(&field)
    }

    fn comparison(&mut self, field: &Field) -> Result<Filter, String> {
        if self.accept_word("IS") {
            let negated = self.accept_word("NOT");
            return if self.accept_word("NULL") {
                Ok(negate(Filter::IsNull(field.clone()), negated))
            } else {
                Err(unexpected(self.take().as_ref(), "NULL"))
            };
        }
        let negated = self.accept_word("NOT");
        if self.accept_word("IN") {
            let found = Filter::In(field.clone(), self.list(field)?);
            let known = negate(Filter::IsNull(field.clone()), true);
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
                Filter::Compare(field.clone(), Op::GreaterOrEqual, low),
                Filter::Compare(field.clone(), Op::LessOrEqual, high),
            ]));
        }
        if self.accept_word("STARTS_WITH") {
            return match self.value(field)? {
                prefix @ Value::Text(_) => Ok(Filter::Compare(field.clone(), Op::StartsWith, prefix)),
                _ => Err(format!("STARTS_WITH needs a text field, {} is none; {}", field.name, supported())),
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
        Ok(Filter::Compare(field.clone(), op, self.value(field)?))
    }

    fn list(&mut self, field: &Field) -> Result<Vec<Value>, String> {
        self.expect_symbol("(")?;
        let mut values = vec![self.value(field)?];
        while self.accept_symbol(",") {
            values.push(self.value(field)?);
        }
        self.expect_symbol(")")?;
        Ok(values)
    }

    fn value(&mut self, field: &Field) -> Result<Value, String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values; ask for them in several lists"));
        }
        let token = self.take();
        let found = token.as_ref().map_or_else(|| "the end of the filter".to_owned(), ToString::to_string);
        let (value, wanted) = match (field.kind, token) {
            (Kind::Time, Some(Token::Number(nanos))) => (Some(Value::Int(nanos)), ""),
            (Kind::Time, Some(Token::Text(text))) => (parse_time(&text).map(Value::Int), TIME),
            (Kind::Time, _) => (None, TIME),
            (Kind::Status, Some(Token::Text(text))) => (status(&text).map(|s| Value::Int(s.into())), STATUS),
            (Kind::Status, _) => (None, STATUS),
            (Kind::Keyword | Kind::KeywordList, Some(Token::Text(text))) => (Some(Value::Text(text)), ""),
            (Kind::Keyword | Kind::KeywordList, _) => (None, "a quoted text such as 'name'"),
            (Kind::Int, Some(Token::Number(number))) => (Some(Value::Int(number)), ""),
            (Kind::Int, _) => (None, "a whole number"),
            (Kind::Double, Some(Token::Number(number))) => (Some(Value::Double(number as f64)), ""),
            (Kind::Double, Some(Token::Decimal(number))) => (Some(Value::Double(number)), ""),
            (Kind::Double, _) => (None, "a number"),
            (Kind::Bool, Some(Token::Word(word))) => (boolean(&word).map(Value::Bool), BOOLEAN),
            (Kind::Bool, _) => (None, BOOLEAN),
        };
        value.ok_or_else(|| format!("{} is compared with {wanted}, not with {found}", field.name))
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

    /// A field's name, whose case counts.
    fn accept_name(&mut self, name: &str) -> bool {
        let found = matches!(self.tokens.get(self.next), Some(Token::Word(next)) if next == name);
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

const BOOLEAN: &str = "true or false";

fn boolean(word: &str) -> Option<bool> {
    [true, false].into_iter().find(|value| word.eq_ignore_ascii_case(&value.to_string()))
}

fn negate(filter: Filter, negated: bool) -> Filter {
    if negated { Filter::Not(Box::new(filter)) } else { filter }
}

fn unexpected(token: Option<&Token>, wanted: &str) -> String {
    let found = token.map_or_else(|| "the end".to_owned(), ToString::to_string);
    format!("found {found} where {wanted} should be; {}", supported())
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
    use rand::{Rng, SeedableRng, rngs::SmallRng};

    use super::*;

    fn equal(field: Field, value: &str) -> Filter {
        Filter::Compare(field, Op::Equal, Value::Text(value.into()))
    }

    #[test]
    fn trees() {
        let known = Filter::Not(Box::new(Filter::IsNull(Field::WORKFLOW_TYPE)));
        let time = |op, nanos| Filter::Compare(Field::START_TIME, op, Value::Int(nanos));
        for (query, expected) in [
            ("", Filter::All),
            ("WorkflowId = 'order-7'", equal(Field::WORKFLOW_ID, "order-7")),
            ("`WorkflowId` = \"it's\"", equal(Field::WORKFLOW_ID, "it's")),
            ("WorkflowId = 'it''s'", equal(Field::WORKFLOW_ID, "it's")),
            (
                "RunId = 'a' or RunId = 'b' and TaskQueue='c'",
                Filter::Or(vec![
                    equal(Field::RUN_ID, "a"),
                    Filter::And(vec![equal(Field::RUN_ID, "b"), equal(Field::TASK_QUEUE, "c")]),
                ]),
            ),
            (
                "(RunId = 'a' OR RunId = 'b') AND TaskQueue = 'c'",
                Filter::And(vec![
                    Filter::Or(vec![equal(Field::RUN_ID, "a"), equal(Field::RUN_ID, "b")]),
                    equal(Field::TASK_QUEUE, "c"),
                ]),
            ),
            (
                "ExecutionStatus != 'TimedOut'",
                Filter::Compare(Field::EXECUTION_STATUS, Op::NotEqual, Value::Int(7)),
            ),
            (
                "ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING'",
                Filter::Compare(Field::EXECUTION_STATUS, Op::Equal, Value::Int(1)),
            ),
            ("StartTime > '2023-11-14T22:13:20Z'", time(Op::Greater, 1_700_000_000_000_000_000)),
            ("StartTime <= 5", time(Op::LessOrEqual, 5)),
            (
                "StartTime BETWEEN '1970-01-01' AND '1970-01-02'",
                Filter::And(vec![time(Op::GreaterOrEqual, 0), time(Op::LessOrEqual, 86_400_000_000_000)]),
            ),
            ("CloseTime IS NULL", Filter::IsNull(Field::CLOSE_TIME)),
            ("CloseTime is not null", Filter::Not(Box::new(Filter::IsNull(Field::CLOSE_TIME)))),
            (
                "WorkflowType IN ('A', 'B')",
                Filter::In(Field::WORKFLOW_TYPE, vec![Value::Text("A".into()), Value::Text("B".into())]),
            ),
            (
                "WorkflowType NOT IN ('A')",
                Filter::And(vec![
                    known,
                    Filter::Not(Box::new(Filter::In(Field::WORKFLOW_TYPE, vec![Value::Text("A".into())]))),
                ]),
            ),
            (
                "WorkflowId STARTS_WITH 'order-'",
                Filter::Compare(Field::WORKFLOW_ID, Op::StartsWith, Value::Text("order-".into())),
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

    #[test]
    fn a_filter_is_bounded_in_what_it_costs() {
        let terms = |count: usize| vec!["WorkflowId = 'x'"; count].join(" OR ");
        assert!(parse(&terms(MAX_TERMS)).is_ok());
        let refused = parse(&terms(MAX_TERMS + 1)).unwrap_err();
        assert!(refused.contains("100 comparisons") && refused.contains("IN (...)"), "{refused}");
        let values = |count: usize| format!("WorkflowId IN ({})", vec!["'x'"; count].join(","));
        assert!(parse(&values(MAX_VALUES)).is_ok());
        assert!(parse(&values(MAX_VALUES + 1)).unwrap_err().contains("1000 values"));
    }

    #[test]
    fn only_a_count_is_grouped() {
        let grouped = parse_count("WorkflowId = 'x' GROUP BY ExecutionStatus").unwrap();
        assert_eq!(grouped, (equal(Field::WORKFLOW_ID, "x"), true));
        assert_eq!(parse_count("group by ExecutionStatus"), Ok((Filter::All, true)));
        assert_eq!(parse_count(""), Ok((Filter::All, false)));
        for (query, word) in [
            ("GROUP BY WorkflowType", "the only field"),
            ("GROUP ExecutionStatus", "where BY should be"),
            ("GROUP BY ExecutionStatus, RunId", "the end"),
            ("WorkflowId = 'x' GROUP", "where BY should be"),
        ] {
            let refused = parse_count(query).unwrap_err();
            assert!(refused.contains(word), "{query}: {refused}");
        }
        assert!(parse("GROUP BY ExecutionStatus").unwrap_err().contains("found GROUP"));
    }

    /// Values that would do harm if they were ever read as more than values.
    const TEXTS: [&str; 10] = [
        "",
        "a",
        "it's",
        "x' OR '1'='1",
        "'; DROP TABLE runs; --",
        "\"",
        "`RunId`",
        "back\\slash",
        "ü\u{1F600}",
        "\0",
    ];

    fn value(random: &mut SmallRng, kind: Kind) -> (Value, String) {
        match kind {
            Kind::Keyword | Kind::KeywordList => {
                let text = TEXTS[random.random_range(0..TEXTS.len())];
                (Value::Text(text.into()), format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")))
            }
            Kind::Int | Kind::Time => {
                let number = random.random::<i64>() >> random.random_range(0..63);
                (Value::Int(number), number.to_string())
            }
            Kind::Status => (Value::Int(2), "'Completed'".into()),
            Kind::Double => {
                let number = random.random_range(-1e9..1e9);
                (Value::Double(number), format!("{number:?}"))
            }
            Kind::Bool => (Value::Bool(true), "TRUE".into()),
        }
    }

    /// A random tree and its text.
    fn tree(random: &mut SmallRng, depth: u32) -> (Filter, String) {
        let field = Field::ALL[random.random_range(0..Field::ALL.len())].clone();
        let name = field.name.clone();
        match random.random_range(0..if depth == 0 { 4 } else { 6 }) {
            0 => (Filter::IsNull(field), format!("{name} is null")),
            1 => (negate(Filter::IsNull(field), true), format!("`{name}` IS NOT NULL")),
            2 => {
                let (values, texts): (Vec<_>, Vec<_>) =
                    (0..random.random_range(1..4)).map(|_| value(random, field.kind)).unzip();
                (Filter::In(field, values), format!("{name} IN ({})", texts.join(", ")))
            }
            3 => {
                let (op, symbol) = [(Op::Equal, "="), (Op::NotEqual, "<>"), (Op::LessOrEqual, "<=")]
                    [random.random_range(0..3)];
                let (value, text) = value(random, field.kind);
                (Filter::Compare(field, op, value), format!("{name}{symbol} {text}"))
            }
            kind => {
                let (parts, texts): (Vec<_>, Vec<_>) =
                    (0..random.random_range(2..4)).map(|_| tree(random, depth - 1)).unzip();
                let texts: Vec<_> = texts.into_iter().map(|text| format!("({text})")).collect();
                if kind == 4 {
                    (Filter::And(parts), texts.join(" AND "))
                } else {
                    (Filter::Or(parts), texts.join(" or "))
                }
            }
        }
    }

    #[test]
    fn any_filter_is_read_as_it_was_meant() {
        let random = &mut SmallRng::seed_from_u64(11);
        for round in 0..2_000 {
            let (meant, text) = tree(random, 3);
            assert_eq!(parse(&text), Ok(meant), "round {round}: {text}");
        }
    }

    #[test]
    fn any_text_is_a_filter_or_an_error() {
        let random = &mut SmallRng::seed_from_u64(13);
        let pieces = [
            "(", ")", "'", "\"", "`", "\\", "--", ";", "=", "<", "!", ",", " ", "\0", "ü", "-", "1e999",
            "nan",
        ];
        for _ in 0..5_000 {
            let (_, text) = tree(random, 2);
            let mut text: Vec<char> = text.chars().collect();
            for _ in 0..random.random_range(1..4) {
                let place = random.random_range(0..=text.len());
                match random.random_range(0..3) {
                    0 => text.truncate(place),
                    1 => {
                        drop(text.splice(place..place, pieces[random.random_range(0..pieces.len())].chars()));
                    }
                    _ => drop(text.splice(place..(place + 2).min(text.len()), None)),
                }
            }
            let text: String = text.into_iter().collect();
            if let Err(error) = parse(&text) {
                assert!(!error.is_empty());
            }
        }
    }
}
