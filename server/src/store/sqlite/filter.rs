//! A filter tree as an SQL condition with bound values, and the functions of ours that it calls.

use std::fmt::Write as _;

use durably_proto::temporal::api::common::v1::SearchAttributes;
use prost::Message;
use rusqlite::{
    Connection,
    functions::{Context, FunctionFlags},
    types::{Value as Sql, ValueRef},
};

use super::super::{
    Field, Filter, Kind, Op, Value,
    fields::{Source, read_attribute},
    filter::compare,
};

/// An SQL text and the values of its parameters, in order.
#[derive(Default)]
pub(super) struct Clause {
    pub(super) sql: String,
    pub(super) values: Vec<Sql>,
}

impl Clause {
    /// The condition for rows of the namespace that pass the filter.
    pub(super) fn new(namespace_id: &str, filter: &Filter) -> Self {
        let mut clause = Self::default();
        clause.sql.push_str("namespace_id = ? AND ");
        clause.values.push(Sql::from(namespace_id.to_owned()));
        clause.filter(filter);
        clause
    }

    fn filter(&mut self, filter: &Filter) {
        match filter {
            Filter::All => self.sql.push('1'),
            Filter::And(parts) => self.join(parts, " AND ", "1"),
            Filter::Or(parts) => self.join(parts, " OR ", "0"),
            Filter::Not(part) => {
                self.sql.push_str("NOT (");
                self.filter(part);
                self.sql.push(')');
            }
            Filter::Compare(field, op, value) => self.compare(field, *op, value),
            Filter::In(field, list) => match field.source {
                Source::Column { sql, .. } => {
                    let _ = write!(self.sql, "{sql} IN (");
                    self.sql.push_str(&vec!["?"; list.len()].join(", "));
                    self.sql.push(')');
                    self.values.extend(list.iter().map(bound));
                }
                Source::Attribute => {
                    let equal =
                        list.iter().map(|value| Filter::Compare(field.clone(), Op::Equal, value.clone()));
                    self.join(&equal.collect::<Vec<_>>(), " OR ", "0");
                }
            },
            Filter::IsNull(field) => {
                self.value_of(field);
                self.sql.push_str(" IS NULL");
            }
        }
    }

    fn compare(&mut self, field: &Field, op: Op, value: &Value) {
        match field.source {
            Source::Attribute => {
                self.sql.push_str("attribute_is(search_attributes, ?, ?, ?, ?)");
                self.values.extend([
                    Sql::from(field.name.clone().into_owned()),
                    Sql::from(field.kind.number()),
                    Sql::from(op.number()),
                    bound(value),
                ]);
            }
            Source::Column { sql, .. } if op == Op::StartsWith => {
                // Not LIKE: it folds case and gives `%` and `_` a meaning.
                let _ = write!(self.sql, "starts_with({sql}, ?)");
                self.values.push(bound(value));
            }
            Source::Column { sql, .. } => {
                let _ = write!(self.sql, "{sql} {} ?", operator(op));
                self.values.push(bound(value));
            }
        }
    }

    /// The value itself, for sorting, grouping and the test for null.
    pub(super) fn value_of(&mut self, field: &Field) {
        match field.source {
            Source::Column { sql, .. } => self.sql.push_str(sql),
            Source::Attribute => {
                self.sql.push_str("attribute(search_attributes, ?, ?)");
                self.values.push(Sql::from(field.name.clone().into_owned()));
                self.values.push(Sql::from(field.kind.number()));
            }
        }
    }

    fn join(&mut self, parts: &[Filter], word: &str, empty: &str) {
        if parts.is_empty() {
            return self.sql.push_str(empty);
        }
        for (index, part) in parts.iter().enumerate() {
            self.sql.push_str(if index == 0 { "(" } else { word });
            self.filter(part);
        }
        self.sql.push(')');
    }
}

pub(super) fn bound(value: &Value) -> Sql {
    match value {
        Value::Int(number) => Sql::from(*number),
        Value::Double(number) => Sql::from(*number),
        Value::Bool(flag) => Sql::from(*flag),
        Value::Text(text) => Sql::from(text.clone()),
        Value::List(_) => match value.clone().single() {
            Value::Text(text) => Sql::from(text),
            _ => Sql::Null,
        },
    }
}

/// A value of SQLite's as one of the field's type.
pub(super) fn found(kind: Kind, value: ValueRef<'_>) -> Option<Value> {
    match value {
        ValueRef::Integer(number) => Some(match kind {
            Kind::Bool => Value::Bool(number != 0),
            Kind::Int | Kind::Time | Kind::Status | Kind::Double | Kind::Keyword | Kind::KeywordList => {
                Value::Int(number)
            }
        }),
        ValueRef::Real(number) => Some(Value::Double(number)),
        ValueRef::Text(text) => Some(Value::Text(String::from_utf8_lossy(text).into_owned())),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

fn operator(op: Op) -> &'static str {
    match op {
        Op::Equal | Op::StartsWith => "=",
        Op::NotEqual => "<>",
        Op::Less => "<",
        Op::LessOrEqual => "<=",
        Op::Greater => ">",
        Op::GreaterOrEqual => ">=",
    }
}

/// Teaches a connection what SQL lacks: prefixes, and the reading of search attributes (`attribute` gives a value,
/// `attribute_is` compares it).
pub(super) fn add_functions(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("starts_with", 2, flags, |context| {
        let bytes = |index| context.get_raw(index).as_bytes_or_null();
        Ok(bytes(0)?.zip(bytes(1)?).map(|(text, prefix)| text.starts_with(prefix)))
    })?;
    connection.create_scalar_function("attribute", 3, flags, |context| {
        Ok(read(context)?.map_or(Sql::Null, |value| bound(&value.single())))
    })?;
    connection.create_scalar_function("attribute_is", 5, flags, |context| {
        let Some(value) = read(context)? else { return Ok(None) };
        let op = numbered(context, 3, Op::from_number)?;
        let kind = match kind(context)? {
            // One item of the list is asked for.
            Kind::KeywordList => Kind::Keyword,
            kind => kind,
        };
        let wanted = found(kind, context.get_raw(4));
        Ok(wanted.map(|wanted| compare(&value, op, &wanted)))
    })
}

fn kind(context: &Context<'_>) -> rusqlite::Result<Kind> {
    numbered(context, 2, Kind::from_number)
}

/// What an argument names by its number. No other number is ever passed: it is an error, and not some default.
fn numbered<T>(context: &Context<'_>, index: usize, from: fn(i64) -> Option<T>) -> rusqlite::Result<T> {
    let number = context.get(index)?;
    from(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(index, number))
}

fn read(context: &Context<'_>) -> rusqlite::Result<Option<Value>> {
    let ValueRef::Blob(encoded) = context.get_raw(0) else { return Ok(None) };
    let Ok(attributes) = SearchAttributes::decode(encoded) else { return Ok(None) };
    Ok(read_attribute(&attributes, context.get_raw(1).as_str()?, kind(context)?))
}
