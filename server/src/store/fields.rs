//! The fields that a list can filter, sort and group by: one table with the name, the type, where a row has the value,
//! and how it is read.
//!
//! A field is a column of its own, or an attribute: a value that stands by its name among a run's search attributes.
//! Both stores read attributes with the same code.

use std::borrow::Cow;

use durably_proto::temporal::api::common::v1::SearchAttributes;

use super::RunRow;

/// An enum with the list of its variants, `ALL`, and a number for each by which SQL names it.
macro_rules! numbered {
    ($(#[$of:meta])* pub enum $name:ident { $($(#[$of_variant:meta])* $variant:ident,)* }) => {
        $(#[$of])*
        pub enum $name { $($(#[$of_variant])* $variant,)* }

        impl $name {
            pub(in crate::store) const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its place in `ALL`, good within this process only.
            pub(in crate::store) fn number(self) -> i64 {
                self as i64
            }

            pub(in crate::store) fn from_number(number: i64) -> Option<Self> {
                Self::ALL.get(usize::try_from(number).ok()?).copied()
            }
        }
    };
}
pub(super) use numbered;

numbered! {
    /// What a field holds, and so what it can be compared with.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Kind {
        /// A text that is compared as a whole.
        Keyword,
        /// A list of texts; it passes a comparison when one of them does.
        KeywordList,
        Int,
        Double,
        Bool,
        /// [`Value::Int`], nanoseconds since the Unix epoch.
        Time,
        /// [`Value::Int`] with the number of `WorkflowExecutionStatus`.
        Status,
    }
}

/// What a field of a run holds, or is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Int(i64),
    Double(f64),
    Bool(bool),
    List(Vec<String>),
}

impl Value {
    /// One value that stands for a list where rows are sorted or grouped.
    pub(super) fn single(self) -> Self {
        match self {
            Self::List(items) => Self::Text(serde_json::Value::from(items).to_string()),
            value => value,
        }
    }
}

/// A field by its name. Equal when the names are.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub(super) source: Source,
}

/// Where a row has a field's value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Column { sql: &'static str, get: fn(&RunRow) -> Option<Value> },
    Attribute,
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Field {}

impl Field {
    pub const WORKFLOW_ID: Self = Self::column("WorkflowId", Kind::Keyword, "workflow_id", |row| {
        Some(Value::Text(row.key.workflow_id.to_string()))
    });
    pub const RUN_ID: Self =
        Self::column("RunId", Kind::Keyword, "run_id", |row| Some(Value::Text(row.key.run_id.to_string())));
    pub const WORKFLOW_TYPE: Self = Self::column("WorkflowType", Kind::Keyword, "workflow_type", |row| {
        Some(Value::Text(row.workflow_type.clone()))
    });
    pub const TASK_QUEUE: Self = Self::column("TaskQueue", Kind::Keyword, "task_queue", |row| {
        Some(Value::Text(row.task_queue.clone()))
    });
    pub const EXECUTION_STATUS: Self =
        Self::column("ExecutionStatus", Kind::Status, "status", |row| Some(Value::Int(row.status.into())));
    pub const START_TIME: Self =
        Self::column("StartTime", Kind::Time, "start_time", |row| Some(Value::Int(row.start_time)));
    pub const EXECUTION_TIME: Self = Self::column("ExecutionTime", Kind::Time, "execution_time", |row| {
        Some(Value::Int(row.execution_time))
    });
    /// Null while the run is open.
    pub const CLOSE_TIME: Self =
        Self::column("CloseTime", Kind::Time, "close_time", |row| row.close_time.map(Value::Int));
    pub const HISTORY_LENGTH: Self = Self::column("HistoryLength", Kind::Int, "history_length", |row| {
        Some(Value::Int(row.history_length))
    });
    pub const HISTORY_SIZE_BYTES: Self =
        Self::column("HistorySizeBytes", Kind::Int, "history_bytes", |row| {
            Some(Value::Int(row.history_bytes))
        });
    pub const STATE_TRANSITION_COUNT: Self =
        Self::column("StateTransitionCount", Kind::Int, "transitions", |row| {
            Some(Value::Int(row.transitions))
        });

    /// Null in a run that is nobody's child, as the next one.
    pub const PARENT_WORKFLOW_ID: Self =
        Self::column("ParentWorkflowId", Kind::Keyword, "parent_workflow_id", |row| {
            row.ancestors.as_ref().map(|of| Value::Text(of.parent_workflow_id.clone()))
        });
    pub const PARENT_RUN_ID: Self = Self::column("ParentRunId", Kind::Keyword, "parent_run_id", |row| {
        row.ancestors.as_ref().map(|of| Value::Text(of.parent_run_id.clone()))
    });
    /// A run that is nobody's child is its own root.
    pub const ROOT_WORKFLOW_ID: Self =
        Self::column("RootWorkflowId", Kind::Keyword, "coalesce(root_workflow_id, workflow_id)", |row| {
            let own = || row.key.workflow_id.to_string();
            Some(Value::Text(row.ancestors.as_ref().map_or_else(own, |of| of.root_workflow_id.clone())))
        });
    pub const ROOT_RUN_ID: Self =
        Self::column("RootRunId", Kind::Keyword, "coalesce(root_run_id, run_id)", |row| {
            let own = || row.key.run_id.to_string();
            Some(Value::Text(row.ancestors.as_ref().map_or_else(own, |of| of.root_run_id.clone())))
        });

    /// Every field that exists without being registered.
    pub const ALL: [Self; 20] = [
        Self::WORKFLOW_ID,
        Self::RUN_ID,
        Self::WORKFLOW_TYPE,
        Self::TASK_QUEUE,
        Self::EXECUTION_STATUS,
        Self::START_TIME,
        Self::EXECUTION_TIME,
        Self::CLOSE_TIME,
        Self::HISTORY_LENGTH,
        Self::HISTORY_SIZE_BYTES,
        Self::STATE_TRANSITION_COUNT,
        Self::PARENT_WORKFLOW_ID,
        Self::PARENT_RUN_ID,
        Self::ROOT_WORKFLOW_ID,
        Self::ROOT_RUN_ID,
        // Set by SDKs, workers and schedules among the search attributes of a run.
        Self::attribute(Cow::Borrowed("BuildIds"), Kind::KeywordList),
        Self::attribute(Cow::Borrowed("TemporalChangeVersion"), Kind::KeywordList),
        Self::attribute(Cow::Borrowed("TemporalScheduledById"), Kind::Keyword),
        Self::attribute(Cow::Borrowed("TemporalScheduledStartTime"), Kind::Time),
        Self::attribute(Cow::Borrowed("TemporalSchedulePaused"), Kind::Bool),
    ];

    const fn column(
        name: &'static str,
        kind: Kind,
        sql: &'static str,
        get: fn(&RunRow) -> Option<Value>,
    ) -> Self {
        Self { name: Cow::Borrowed(name), kind, source: Source::Column { sql, get } }
    }

    /// A search attribute of this name and type.
    pub const fn attribute(name: Cow<'static, str>, kind: Kind) -> Self {
        Self { name, kind, source: Source::Attribute }
    }

    /// The field of this name, exactly as it is written.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name == name)
    }

    /// Whether it says what the server knows of a run, so that nobody else sets it.
    pub fn is_reserved(name: &str) -> bool {
        Self::named(name).is_some_and(|field| matches!(field.source, Source::Column { .. }))
    }

    /// What the row has of it; `None` is null.
    pub(super) fn of(&self, row: &RunRow) -> Option<Value> {
        match self.source {
            Source::Column { get, .. } => get(row),
            Source::Attribute => read_attribute(row.search_attributes.as_ref()?, &self.name, self.kind),
        }
    }
}

/// An attribute's value, if there is one of its type: payloads are JSON, as SDKs write them.
pub(super) fn read_attribute(attributes: &SearchAttributes, name: &str, kind: Kind) -> Option<Value> {
    use serde_json::Value as Json;
    let payload = attributes.indexed_fields.get(name)?;
    let value = serde_json::from_slice::<Json>(&payload.data).ok()?;
    match (kind, value) {
        (Kind::Keyword, Json::String(text)) => Some(Value::Text(text)),
        (Kind::KeywordList, Json::String(text)) => Some(Value::List(vec![text])),
        (Kind::KeywordList, Json::Array(items)) => items
            .into_iter()
            .map(|item| match item {
                Json::String(text) => Some(text),
                _ => None,
            })
            .collect::<Option<_>>()
            .map(Value::List),
        (Kind::Int | Kind::Status, Json::Number(number)) => number.as_i64().map(Value::Int),
        (Kind::Double, Json::Number(number)) => number.as_f64().map(Value::Double),
        (Kind::Bool, Json::Bool(flag)) => Some(Value::Bool(flag)),
        (Kind::Time, Json::String(text)) => parse_time(&text).map(Value::Int),
        // Of another type. Each kind by its name: a new one that nothing above reads doesn't compile.
        (
            Kind::Keyword
            | Kind::KeywordList
            | Kind::Int
            | Kind::Double
            | Kind::Bool
            | Kind::Time
            | Kind::Status,
            _,
        ) => None,
    }
}

/// RFC 3339, or a date alone (its midnight, UTC), as nanoseconds since the epoch.
pub fn parse_time(text: &str) -> Option<i64> {
    let stamp: prost_types::Timestamp = text.parse().ok()?;
    stamp.seconds.checked_mul(1_000_000_000)?.checked_add(i64::from(stamp.nanos))
}
