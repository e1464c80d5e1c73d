//! `temporal.api.testservice.v1.TestService`: the virtual clock, if the server was opened with one.

use durably_proto::temporal::api::testservice::v1::*;

use super::{Caller, Frontend, validate};
use crate::error::ServiceError;

const NANOS: i64 = 1_000_000_000;

impl Frontend {
    fn virtual_clock(&self) -> Result<(), ServiceError> {
        if self.shared.options.time_skipping {
            return Ok(());
        }
        Err(ServiceError::unimplemented(
            "this server runs on the real clock; open it with time skipping (start_time_skipping in Python, \
             createTimeSkipping in TypeScript, EmbeddedOptions.TimeSkipping in Go) to use TestService",
        ))
    }

    pub(super) async fn lock_time_skipping(
        &self,
        _: Caller,
        _: LockTimeSkippingRequest,
    ) -> Result<LockTimeSkippingResponse, ServiceError> {
        self.virtual_clock()?;
        self.executions().lock_time_skipping()?;
        Ok(LockTimeSkippingResponse {})
    }

    pub(super) async fn unlock_time_skipping(
        &self,
        _: Caller,
        _: UnlockTimeSkippingRequest,
    ) -> Result<UnlockTimeSkippingResponse, ServiceError> {
        self.virtual_clock()?;
        self.executions().unlock_time_skipping().await?;
        Ok(UnlockTimeSkippingResponse {})
    }

    pub(super) async fn sleep(
        &self,
        _: Caller,
        mut request: SleepRequest,
    ) -> Result<SleepResponse, ServiceError> {
        self.virtual_clock()?;
        self.executions().sleep(nanos(&mut request)?).await?;
        Ok(SleepResponse {})
    }

    pub(super) async fn sleep_until(
        &self,
        _: Caller,
        request: SleepUntilRequest,
    ) -> Result<SleepResponse, ServiceError> {
        self.virtual_clock()?;
        let time = request.timestamp.ok_or_else(|| {
            ServiceError::invalid_argument("timestamp is not set; send the time to sleep until")
        })?;
        let time = time.seconds.checked_mul(NANOS).and_then(|nanos| nanos.checked_add(time.nanos.into()));
        let time = time.ok_or_else(|| {
            ServiceError::invalid_argument("timestamp is out of range; send a time before the year 2262")
        })?;
        self.executions().sleep_until(time).await?;
        Ok(SleepResponse {})
    }

    pub(super) async fn unlock_time_skipping_with_sleep(
        &self,
        _: Caller,
        mut request: SleepRequest,
    ) -> Result<SleepResponse, ServiceError> {
        self.virtual_clock()?;
        self.executions().unlock_time_skipping_with_sleep(nanos(&mut request)?).await?;
        Ok(SleepResponse {})
    }

    pub(super) async fn get_current_time(
        &self,
        _: Caller,
        (): (),
    ) -> Result<GetCurrentTimeResponse, ServiceError> {
        self.virtual_clock()?;
        let now = self.executions().current_time();
        Ok(GetCurrentTimeResponse {
            time: Some(prost_types::Timestamp {
                seconds: now.div_euclid(NANOS),
                nanos: now.rem_euclid(NANOS) as i32,
            }),
        })
    }
}

fn nanos(request: &mut SleepRequest) -> Result<i64, ServiceError> {
    let duration = validate::duration("duration", request.duration.as_mut())?;
    Ok(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
