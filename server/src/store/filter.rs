//! What a list can ask for: a filter tree over fields. The frontend parses the query language into it; a store turns it
//! into its own terms with bound values, never spliced text.

use super::{Field, RunRow, Value, fields::numbered};

numbered! {
    /// How a field is compared with a value.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Op {
        Equal,
        NotEqual,
        Less,
        LessOrEqual,
        Greater,
        GreaterOrEqual,
        StartsWith,
    }
}

/// Which runs a list or count returns.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    All,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Field, Op, Value),
    In(Field, Vec<Value>),
    IsNull(Field),
}

/// Whether a row passes the filter; three-valued as in SQL, where an absent value passes no comparison.
pub(super) fn matches(filter: &Filter, row: &RunRow) -> bool {
    truth(filter, row) == Some(true)
}

fn truth(filter: &Filter, row: &RunRow) -> Option<bool> {
    match filter {
        Filter::All => Some(true),
        Filter::And(parts) => {
            let truths: Vec<_> = parts.iter().map(|part| truth(part, row)).collect();
            if truths.contains(&Some(false)) {
                return Some(false);
            }
            (!truths.contains(&None)).then_some(true)
        }
        Filter::Or(parts) => {
            let truths: Vec<_> = parts.iter().map(|part| truth(part, row)).collect();
            if truths.contains(&Some(true)) {
                return Some(true);
            }
            (!truths.contains(&None)).then_some(false)
        }
        Filter::Not(part) => truth(part, row).map(|truth| !truth),
        Filter::Compare(field, op, value) => field.of(row).map(|found| compare(&found, *op, value)),
        // As in SQL: nothing is in an empty list, not even what is unknown.
        Filter::In(_, values) if values.is_empty() => Some(false),
        Filter::In(field, values) => {
            field.of(row).map(|found| values.iter().any(|value| compare(&found, Op::Equal, value)))
        }
        Filter::IsNull(field) => Some(field.of(row).is_none()),
    }
}

/// How a value that is there compares; values of different types pass nothing but `!=`.
pub(super) fn compare(found: &Value, op: Op, value: &Value) -> bool {
    if op == Op::NotEqual {
        return !compare(found, Op::Equal, value);
    }
    let ordering = match (found, value) {
        (Value::List(items), Value::Text(value)) => {
            return items.iter().any(|item| compare_text(item, op, value));
        }
        (Value::Text(found), Value::Text(value)) => return compare_text(found, op, value),
        (Value::Int(found), Value::Int(value)) => found.cmp(value),
        (Value::Bool(found), Value::Bool(value)) => found.cmp(value),
        (Value::Double(found), Value::Double(value)) => match found.partial_cmp(value) {
            Some(ordering) => ordering,
            None => return false,
        },
        // Of different types. Each by its name: a new one that nothing above compares doesn't compile.
        (Value::List(_) | Value::Text(_) | Value::Int(_) | Value::Bool(_) | Value::Double(_), _) => {
            return false;
        }
    };
    fits(ordering, op)
}

fn compare_text(found: &str, op: Op, value: &str) -> bool {
    if op == Op::StartsWith { found.starts_with(value) } else { fits(found.cmp(value), op) }
}

fn fits(ordering: std::cmp::Ordering, op: Op) -> bool {
    match op {
        Op::Equal => ordering.is_eq(),
        Op::NotEqual => ordering.is_ne(),
        Op::Less => ordering.is_lt(),
        Op::LessOrEqual => ordering.is_le(),
        Op::Greater => ordering.is_gt(),
        Op::GreaterOrEqual => ordering.is_ge(),
        Op::StartsWith => false,
    }
}
