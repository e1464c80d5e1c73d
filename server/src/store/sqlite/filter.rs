//! A filter tree as an SQL condition with bound values.

use std::fmt::Write as _;

use rusqlite::types::Value as Sql;

use super::super::{Field, Filter, Op, Value};

/// The condition for rows of the namespace that pass the filter, and its values in order.
pub(super) fn clause(namespace_id: &str, filter: &Filter) -> (String, Vec<Sql>) {
    let mut sql = String::from("namespace_id = ? AND ");
    let mut values = vec![Sql::from(namespace_id.to_owned())];
    write(filter, &mut sql, &mut values);
    (sql, values)
}

fn write(filter: &Filter, sql: &mut String, values: &mut Vec<Sql>) {
    match filter {
        Filter::All => sql.push('1'),
        Filter::And(parts) => join(parts, " AND ", "1", sql, values),
        Filter::Or(parts) => join(parts, " OR ", "0", sql, values),
        Filter::Not(part) => {
            sql.push_str("NOT (");
            write(part, sql, values);
            sql.push(')');
        }
        Filter::Compare(field, Op::StartsWith, Value::Text(prefix)) => {
            // Not LIKE: it folds case and gives `%` and `_` a meaning.
            let _ = write!(sql, "substr({}, 1, ?) = ?", column(*field));
            values.push(Sql::from(prefix.chars().count() as i64));
            values.push(Sql::from(prefix.clone()));
        }
        Filter::Compare(field, op, value) => {
            let _ = write!(sql, "{} {} ?", column(*field), operator(*op));
            values.push(bound(value));
        }
        Filter::In(field, list) => {
            let _ = write!(sql, "{} IN (", column(*field));
            sql.push_str(&vec!["?"; list.len()].join(", "));
            sql.push(')');
            values.extend(list.iter().map(bound));
        }
        Filter::IsNull(field) => {
            let _ = write!(sql, "{} IS NULL", column(*field));
        }
    }
}

fn join(parts: &[Filter], word: &str, empty: &str, sql: &mut String, values: &mut Vec<Sql>) {
    if parts.is_empty() {
        return sql.push_str(empty);
    }
    for (index, part) in parts.iter().enumerate() {
        sql.push_str(if index == 0 { "(" } else { word });
        write(part, sql, values);
    }
    sql.push(')');
}

fn bound(value: &Value) -> Sql {
    match value {
        Value::Text(text) => Sql::from(text.clone()),
        Value::Int(number) => Sql::from(*number),
    }
}

fn operator(op: Op) -> &'static str {
    match op {
        // A prefix of a number is never asked for by the frontend; as equality it is at least not wrong.
        Op::Equal | Op::StartsWith => "=",
        Op::NotEqual => "<>",
        Op::Less => "<",
        Op::LessOrEqual => "<=",
        Op::Greater => ">",
        Op::GreaterOrEqual => ">=",
    }
}

fn column(field: Field) -> &'static str {
    match field {
        Field::WorkflowId => "workflow_id",
        Field::RunId => "run_id",
        Field::WorkflowType => "workflow_type",
        Field::TaskQueue => "task_queue",
        Field::ExecutionStatus => "status",
        Field::StartTime => "start_time",
        Field::ExecutionTime => "execution_time",
        Field::CloseTime => "close_time",
        Field::HistoryLength => "history_length",
        Field::HistorySizeBytes => "history_bytes",
        Field::StateTransitionCount => "transitions",
    }
}
