//! What a list can ask for: a filter tree over the visibility columns. The frontend parses the query language into it;
//! a store turns it into its own terms with bound values, never spliced text.

use super::RunRow;

/// A column that a filter can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    WorkflowId,
    RunId,
    WorkflowType,
    TaskQueue,
    /// [`Value::Int`] with the number of `WorkflowExecutionStatus`.
    ExecutionStatus,
    /// Times are [`Value::Int`], nanoseconds since the Unix epoch.
    StartTime,
    ExecutionTime,
    /// Null while the run is open.
    CloseTime,
    HistoryLength,
    HistorySizeBytes,
    StateTransitionCount,
}

/// How a column is compared with a value.
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

/// What a column is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Int(i64),
}

/// Which runs a list or count returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    All,
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Compare(Field, Op, Value),
    In(Field, Vec<Value>),
    IsNull(Field),
}

impl RunRow {
    fn field(&self, field: Field) -> Option<Value> {
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        match field {
            Field::WorkflowId => text(&self.key.workflow_id),
            Field::RunId => text(&self.key.run_id),
            Field::WorkflowType => text(&self.workflow_type),
            Field::TaskQueue => text(&self.task_queue),
            Field::ExecutionStatus => Some(Value::Int(i64::from(self.status))),
            Field::StartTime => Some(Value::Int(self.start_time)),
            Field::ExecutionTime => Some(Value::Int(self.execution_time)),
            Field::CloseTime => self.close_time.map(Value::Int),
            Field::HistoryLength => Some(Value::Int(self.history_length)),
            Field::HistorySizeBytes => Some(Value::Int(self.history_bytes)),
            Field::StateTransitionCount => Some(Value::Int(self.transitions)),
        }
    }
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
        Filter::Compare(field, op, value) => row.field(*field).map(|found| compare(&found, *op, value)),
        Filter::In(field, values) => row.field(*field).map(|found| values.contains(&found)),
        Filter::IsNull(field) => Some(row.field(*field).is_none()),
    }
}

fn compare(found: &Value, op: Op, value: &Value) -> bool {
    let ordering = match (found, value) {
        (Value::Text(found), Value::Text(value)) => {
            if op == Op::StartsWith {
                return found.starts_with(value.as_str());
            }
            found.as_str().cmp(value)
        }
        (Value::Int(found), Value::Int(value)) => found.cmp(value),
        _ => return false,
    };
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
