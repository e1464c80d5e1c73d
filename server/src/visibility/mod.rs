//! List filters: the text a client sends becomes a [`Filter`], which a store evaluates by [`Filter::matches`] or
//! by [`Filter::to_sql`]. Values always travel as parameters, never as part of a statement.

mod parse;

use durably_proto::temporal::api::enums::v1::WorkflowExecutionStatus;

pub use parse::parse;

/// A condition on one workflow run.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Holds when each part holds; an empty list always does.
    All(Vec<Filter>),
    /// Holds when at least one part holds.
    Any(Vec<Filter>),
    Compare {
        field: Field,
        op: Op,
        value: Value,
    },
    In {
        field: Field,
        values: Vec<Value>,
        negated: bool,
    },
    Between {
        field: Field,
        low: Value,
        high: Value,
    },
    /// Only `CloseTime` can be null: the run is open.
    Null {
        field: Field,
        negated: bool,
    },
    /// Only on text fields.
    StartsWith {
        field: Field,
        prefix: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    WorkflowId,
    RunId,
    WorkflowType,
    TaskQueue,
    ExecutionStatus,
    StartTime,
    CloseTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Text(String),
    Status(WorkflowExecutionStatus),
    /// Nanoseconds since the Unix epoch.
    Time(i64),
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    pub workflow_id: &'a str,
    pub run_id: &'a str,
    pub workflow_type: &'a str,
    pub task_queue: &'a str,
    pub status: WorkflowExecutionStatus,
    /// Nanoseconds since the Unix epoch.
    pub start_time: i64,
    /// `None` while the run is open.
    pub close_time: Option<i64>,
}

impl Field {
    const NAMES: [(&'static str, Field); 7] = [
        ("WorkflowId", Field::WorkflowId),
        ("RunId", Field::RunId),
        ("WorkflowType", Field::WorkflowType),
        ("TaskQueue", Field::TaskQueue),
        ("ExecutionStatus", Field::ExecutionStatus),
        ("StartTime", Field::StartTime),
        ("CloseTime", Field::CloseTime),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

impl Op {
    fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessOrEqual => "<=",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::Greater => ordering.is_gt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Filter {
    /// Evaluates the filter on a row in memory. A null field satisfies no comparison, as in SQL.
    pub fn matches(&self, row: &Row<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(row)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(row)),
            Self::Compare { field, op, value } => {
                row.get(*field).is_some_and(|found| op.holds(found.cmp(value)))
            }
            Self::In { field, values, negated } => {
                row.get(*field).is_some_and(|found| values.contains(&found) != *negated)
            }
            Self::Between { field, low, high } => {
                row.get(*field).is_some_and(|found| *low <= found && found <= *high)
            }
            Self::Null { field, negated } => row.get(*field).is_none() != *negated,
            Self::StartsWith { field, prefix } => {
                matches!(row.get(*field), Some(Value::Text(text)) if text.starts_with(prefix))
            }
        }
    }

    /// Appends the condition in SQL to `sql`, one `?` for each value pushed to `parameters`.
    ///
    /// `column` names the column of a field; a status is its enum number, a time is nanoseconds since the epoch.
    pub fn to_sql(
        &self,
        column: &dyn Fn(Field) -> &'static str,
        sql: &mut String,
        parameters: &mut Vec<rusqlite::types::Value>,
    ) {
        match self {
            Self::All(parts) => join(parts, " AND ", "1", column, sql, parameters),
            Self::Any(parts) => join(parts, " OR ", "0", column, sql, parameters),
            Self::Compare { field, op, value } => {
                sql.extend([column(*field), " ", op.symbol(), " ?"]);
                parameters.push(value.to_sql());
            }
            Self::In { field, values, negated } => {
                sql.extend([column(*field), if *negated { " NOT IN (" } else { " IN (" }]);
                sql.push_str(&vec!["?"; values.len()].join(", "));
                sql.push(')');
                parameters.extend(values.iter().map(Value::to_sql));
            }
            Self::Between { field, low, high } => {
                sql.extend([column(*field), " BETWEEN ? AND ?"]);
                parameters.extend([low.to_sql(), high.to_sql()]);
            }
            Self::Null { field, negated } => {
                sql.extend([column(*field), if *negated { " IS NOT NULL" } else { " IS NULL" }]);
            }
            Self::StartsWith { field, prefix } => {
                // substr, because LIKE has wildcards of its own and ignores case.
                sql.extend(["substr(", column(*field), ", 1, length(?)) = ?"]);
                parameters.extend([prefix.clone().into(), prefix.clone().into()]);
            }
        }
    }
}

fn join(
    parts: &[Filter],
    word: &str,
    empty: &str,
    column: &dyn Fn(Field) -> &'static str,
    sql: &mut String,
    parameters: &mut Vec<rusqlite::types::Value>,
) {
    if parts.is_empty() {
        sql.push_str(empty);
        return;
    }
    sql.push('(');
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            sql.push_str(word);
        }
        part.to_sql(column, sql, parameters);
    }
    sql.push(')');
}

impl Value {
    fn to_sql(&self) -> rusqlite::types::Value {
        match self {
            Self::Text(text) => text.clone().into(),
            Self::Status(status) => i64::from(*status as i32).into(),
            Self::Time(nanos) => (*nanos).into(),
        }
    }
}

impl Row<'_> {
    fn get(&self, field: Field) -> Option<Value> {
        Some(match field {
            Field::WorkflowId => Value::Text(self.workflow_id.to_owned()),
            Field::RunId => Value::Text(self.run_id.to_owned()),
            Field::WorkflowType => Value::Text(self.workflow_type.to_owned()),
            Field::TaskQueue => Value::Text(self.task_queue.to_owned()),
            Field::ExecutionStatus => Value::Status(self.status),
            Field::StartTime => Value::Time(self.start_time),
            Field::CloseTime => Value::Time(self.close_time?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: Row<'_> = Row {
        workflow_id: "order-7",
        run_id: "r1",
        workflow_type: "Order",
        task_queue: "orders",
        status: WorkflowExecutionStatus::Running,
        start_time: 1_700_000_000_000_000_000,
        close_time: None,
    };

    /// Each query is evaluated in memory and by SQLite, which must agree.
    #[test]
    fn memory_and_sql_agree() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (id, run, type, queue, status, started, closed)").unwrap();
        db.execute(
            "INSERT INTO t VALUES ('order-7', 'r1', 'Order', 'orders', 1, 1700000000000000000, NULL)",
            [],
        )
        .unwrap();
        let column = |field| match field {
            Field::WorkflowId => "id",
            Field::RunId => "run",
            Field::WorkflowType => "type",
            Field::TaskQueue => "queue",
            Field::ExecutionStatus => "status",
            Field::StartTime => "started",
            Field::CloseTime => "closed",
        };
        for (query, expected) in [
            ("", true),
            ("WorkflowId = 'order-7'", true),
            ("WorkflowId != 'order-7'", false),
            ("WorkflowId = 'order-7' AND ExecutionStatus = 'Running'", true),
            ("WorkflowId = 'x' OR WorkflowType IN ('Order', 'Refund')", true),
            ("WorkflowType NOT IN ('Order')", false),
            ("(WorkflowId = 'x' OR RunId = 'r1') AND TaskQueue = \"orders\"", true),
            ("WorkflowId = 'x' OR RunId = 'r1' AND TaskQueue = 'no'", false),
            ("StartTime > '2023-11-14T22:13:19Z'", true),
            ("StartTime >= '2023-11-14T22:13:20Z' and StartTime <= 1700000000000000000", true),
            ("StartTime BETWEEN '2023-11-14' AND '2023-11-15'", true),
            ("StartTime < '2023-11-14T22:13:20Z'", false),
            ("CloseTime > '2000-01-01T00:00:00Z'", false),
            ("CloseTime != '2000-01-01T00:00:00Z'", false),
            ("CloseTime IS NULL", true),
            ("CloseTime is not null", false),
            ("WorkflowId STARTS_WITH 'order-'", true),
            ("WorkflowId STARTS_WITH '%'", false),
            ("ExecutionStatus = 'WORKFLOW_EXECUTION_STATUS_RUNNING'", true),
            ("ExecutionStatus != 'Completed'", true),
            ("WorkflowId = 'it''s' OR `WorkflowId` = 'order-7'", true),
        ] {
            let filter = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!(filter.matches(&ROW), expected, "in memory: {query}");
            let (mut sql, mut parameters) = ("SELECT count(*) FROM t WHERE ".to_owned(), Vec::new());
            filter.to_sql(&column, &mut sql, &mut parameters);
            let count: i64 =
                db.query_row(&sql, rusqlite::params_from_iter(parameters), |row| row.get(0)).unwrap();
            assert_eq!(count == 1, expected, "in SQL: {query} as {sql}");
        }
    }
}
