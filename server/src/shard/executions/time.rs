//! temporal.api.testservice: only with [`ClockKind::Virtual`], else FAILED_PRECONDITION. Times are nanoseconds since the
//! Unix epoch, durations nanoseconds.
//!
//! [`ClockKind::Virtual`]: crate::shard::ClockKind::Virtual

use super::Executions;
use crate::{ServiceError, engine::Time, shard::work::Work};

impl Executions {
    pub fn lock_time_skipping(&self) -> Result<(), ServiceError> {
        self.require_virtual_clock()?;
        self.inner.clock.lock();
        Ok(())
    }

    pub async fn unlock_time_skipping(&self) -> Result<(), ServiceError> {
        self.require_virtual_clock()?;
        self.call(0, |reply| Work::UnlockTime { sleep_until: None, reply }).await?;
        self.wake_shards();
        Ok(())
    }

    pub async fn sleep(&self, nanos: i64) -> Result<(), ServiceError> {
        self.sleep_until(self.inner.clock.now().after(nanos.max(0)).0).await
    }

    pub async fn sleep_until(&self, time: i64) -> Result<(), ServiceError> {
        self.require_virtual_clock()?;
        self.call(0, |reply| Work::Sleep { until: Time(time), reply }).await
    }

    /// Unlocks, sleeps, locks again.
    pub async fn unlock_time_skipping_with_sleep(&self, nanos: i64) -> Result<(), ServiceError> {
        self.require_virtual_clock()?;
        let until = self.inner.clock.now().after(nanos.max(0));
        self.call(0, |reply| Work::UnlockTime { sleep_until: Some(until), reply }).await
    }

    pub fn current_time(&self) -> i64 {
        self.inner.clock.now().0
    }

    fn require_virtual_clock(&self) -> Result<(), ServiceError> {
        if self.inner.clock.is_virtual() {
            return Ok(());
        }
        Err(ServiceError::failed_precondition(
            "this server runs on the system's clock; open it with time skipping to control time",
        ))
    }

    pub(super) fn wake_shards(&self) {
        for shard in &self.inner.shards {
            shard.wake();
        }
    }
}
