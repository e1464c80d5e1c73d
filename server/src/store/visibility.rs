//! What a list can ask for: a filter tree over the visibility columns. The frontend parses the query language into it;
//! a store turns it into its own terms with bound values, never spliced text.

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
