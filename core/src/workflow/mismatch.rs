//! Non-determinism as a value: what the history holds, what the code did, and where.

use std::fmt;

use durably_proto::durably::core::v1::NonDeterminism;

/// The workflow's code and its history disagree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What the history holds; empty if it has nothing here.
    pub(crate) expected: String,
    /// What the code did, in the same form; empty if it did nothing.
    pub(crate) found: String,
    /// 0: not known yet; the cursor fills it in.
    pub(crate) event_id: i64,
    /// The user's "file:line", if the SDK gave one; the cursor fills it in.
    pub(crate) location: String,
    pub(crate) change: Change,
}

/// What is different, for the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change {
    /// Another command, or an event that this command can't have caused.
    #[default]
    Kind,
    /// The history has a command that the code doesn't issue.
    Missing,
    /// The code issues a command that the history doesn't have.
    Extra,
    /// The same command with another id.
    Id,
    /// The same command with another type of activity.
    ActivityType,
    /// The same command with another type of child workflow.
    WorkflowType,
    /// A signal or a cancellation for another workflow, or a signal of another name.
    Target,
}

impl Mismatch {
    /// A mismatch whose position the cursor adds.
    #[expect(clippy::unnecessary_box_returns, reason = "errors are boxed to keep machines' results small")]
    pub(crate) fn new(
        change: Change,
        expected: &impl fmt::Display,
        found: &impl fmt::Display,
    ) -> Box<Mismatch> {
        Box::new(Mismatch {
            expected: expected.to_string(),
            found: found.to_string(),
            change,
            ..Mismatch::default()
        })
    }

    pub(crate) fn to_contract(&self) -> NonDeterminism {
        NonDeterminism {
            expected: self.expected.clone(),
            found: self.found.clone(),
            event_id: self.event_id,
            location: self.location.clone(),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_nothing = |side: &str| if side.is_empty() { "(nothing)".to_owned() } else { side.to_owned() };
        writeln!(
            f,
            "Non-determinism: the workflow's code and its history disagree at event {}.",
            self.event_id
        )?;
        writeln!(f, "  history: {}", or_nothing(&self.expected))?;
        write!(f, "  code:    {}", or_nothing(&self.found))?;
        if !self.location.is_empty() {
            write!(f, " at {}", self.location)?;
        }
        writeln!(f)?;
        let what = match self.change {
            Change::Kind => "The code does something else at this point than when the history was written.",
            Change::Missing => "The code no longer does what it did when the history was written.",
            Change::Extra => "The code does more than when the history was written.",
            Change::Id => {
                "The same command has another id: commands before it were added, removed or reordered."
            }
            Change::ActivityType => "Another activity is called at this point.",
            Change::WorkflowType => "A child of another type is started at this point.",
            Change::Target => "What is sent at this point is another signal, or is for another workflow.",
        };
        write!(
            f,
            "{what} Workflow code must do the same again when it is replayed: restore the old order of calls, or register the changed \
             workflow under another name, which new runs begin by; and let nothing but workflow APIs decide what it does \
             (no clock, randomness, I/O, or iteration in an order that varies)."
        )
    }
}
