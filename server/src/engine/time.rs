//! Time as the engine sees it: nanoseconds since the Unix epoch, given by the caller.

use prost_types::{Duration, Timestamp};

/// A span in nanoseconds.
pub type Nanos = i64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000 * MILLISECOND;
pub const MINUTE: Nanos = 60 * SECOND;

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// The time `span` later; sticks at the end of time instead of wrapping.
    #[must_use]
    pub fn after(self, span: Nanos) -> Self {
        Self(self.0.saturating_add(span))
    }

    pub fn since(self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0)
    }

    pub fn proto(self) -> Timestamp {
        Timestamp { seconds: self.0.div_euclid(SECOND), nanos: self.0.rem_euclid(SECOND) as i32 }
    }

    pub fn from_proto(timestamp: &Timestamp) -> Self {
        Self(timestamp.seconds.saturating_mul(SECOND).saturating_add(i64::from(timestamp.nanos)))
    }
}

/// A hundred years: what is longer means this, as in Temporal's server.
pub const LONGEST: Nanos = 100 * 365 * 24 * 60 * MINUTE;

/// The length of a duration that a caller sent; `None` if it is negative, or one of its parts is.
pub fn span(duration: &Duration) -> Option<Nanos> {
    (duration.seconds >= 0 && duration.nanos >= 0).then(|| nanos(duration))
}

/// The length of a protobuf duration; negative if one of its parts is.
pub fn nanos(duration: &Duration) -> Nanos {
    if duration.seconds > 0 && duration.nanos < 0 {
        return i64::from(duration.nanos);
    }
    duration.seconds.saturating_mul(SECOND).saturating_add(i64::from(duration.nanos)).min(LONGEST)
}

/// The length of an optional duration, where absent, zero and negative all mean "not set".
pub fn positive(duration: Option<&Duration>) -> Option<Nanos> {
    duration.map(nanos).filter(|span| *span > 0)
}

pub fn duration(span: Nanos) -> Duration {
    Duration { seconds: span / SECOND, nanos: (span % SECOND) as i32 }
}
