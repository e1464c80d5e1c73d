//! What the server is told about an attempt that has ended.

use std::sync::Arc;

use bytes::Bytes;
use durably_proto::{
    durably::core::v1::{ActivityAnswered, CallError, activity_cancel::Reason, worker_event::Event},
    temporal::api::{
        common::v1::Payloads,
        failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
        workflowservice::v1::{
            RespondActivityTaskCanceledRequest, RespondActivityTaskCanceledResponse,
            RespondActivityTaskCompletedRequest, RespondActivityTaskCompletedResponse,
            RespondActivityTaskFailedRequest, RespondActivityTaskFailedResponse,
        },
    },
};
use tonic::Code;

use super::{Activities, Ended, Running};
use crate::{
    client::{error::is_too_large, methods},
    observer::{Seen, TaskKind},
};

impl Activities {
    /// Tells the server how an attempt ended, then frees its slot.
    pub(super) async fn answer(self: Arc<Self>, token: Bytes, ended: Ended, running: Running) {
        let Running { slot, heartbeats, cancelled, .. } = running;
        // The server no longer knows the attempt: there is nobody to tell.
        let result = if cancelled == Some(Reason::NotFound) {
            Ok(())
        } else {
            self.tell(&token, ended, heartbeats.undelivered(), cancelled).await
        };
        if self.demand.is_some() {
            let error = result.as_ref().err().cloned();
            self.context.emit(Event::ActivityAnswered(ActivityAnswered { task_token: token, error }));
        }
        let is_taken = result.is_ok();
        self.context.client.observer().see(&Seen::Answered { kind: TaskKind::Activity, is_taken });
        match result {
            Ok(()) => {}
            Err(error) if error.code == Code::NotFound as i32 => {
                tracing::debug!("an activity was over on the server before its answer came");
            }
            Err(error) => tracing::warn!(
                error = error.message,
                code = error.code,
                "the server did not take an activity's answer; it will time the attempt out"
            ),
        }
        drop(slot);
    }

    async fn tell(
        &self,
        token: &Bytes,
        ended: Ended,
        undelivered: Option<Payloads>,
        cancelled: Option<Reason>,
    ) -> Result<(), CallError> {
        match ended {
            Ended::Completed(success) => match self.completed(token, success.result.map(one)).await {
                Err(error) if is_too_large(Code::from(error.code), &error.message) => {
                    self.failed(token, too_large(&error), undelivered).await
                }
                result => result,
            },
            Ended::Failed(failure) => self.failed(token, failure, undelivered).await,
            Ended::Cancelled(failure) if cancelled == Some(Reason::Cancelled) => {
                self.canceled(token, cancel_details(failure)).await
            }
            Ended::Cancelled(failure) => {
                self.failed(token, unrequested_cancellation(failure, cancelled), undelivered).await
            }
            // Whoever completes it may be far away; what it reported here must not be lost.
            Ended::WillCompleteAsync(_) => match undelivered {
                Some(details) => self.send_heartbeat(token, details.payloads).await.map(drop),
                None => Ok(()),
            },
        }
    }

    async fn completed(&self, token: &Bytes, result: Option<Payloads>) -> Result<(), CallError> {
        let request = RespondActivityTaskCompletedRequest {
            task_token: token.clone(),
            result,
            identity: self.context.settings.identity.clone(),
            namespace: self.context.client.namespace().to_owned(),
            ..Default::default()
        };
        self.context
            .deliver::<_, RespondActivityTaskCompletedResponse>(
                methods::RESPOND_ACTIVITY_TASK_COMPLETED,
                &request,
            )
            .await
            .map(drop)
    }

    /// The next attempt starts with the last heartbeat's details, so they travel with the failure.
    async fn failed(
        &self,
        token: &Bytes,
        failure: Failure,
        undelivered: Option<Payloads>,
    ) -> Result<(), CallError> {
        let takes_details =
            self.context.client.capabilities().await.is_ok_and(|c| c.activity_failure_include_heartbeat);
        let last_heartbeat_details = match undelivered {
            Some(details) if !takes_details => {
                self.send_heartbeat(token, details.payloads).await?;
                None
            }
            details => details,
        };
        let request = RespondActivityTaskFailedRequest {
            task_token: token.clone(),
            failure: Some(failure),
            identity: self.context.settings.identity.clone(),
            namespace: self.context.client.namespace().to_owned(),
            last_heartbeat_details,
            ..Default::default()
        };
        self.context
            .deliver::<_, RespondActivityTaskFailedResponse>(methods::RESPOND_ACTIVITY_TASK_FAILED, &request)
            .await
            .map(drop)
    }

    async fn canceled(&self, token: &Bytes, details: Option<Payloads>) -> Result<(), CallError> {
        let request = RespondActivityTaskCanceledRequest {
            task_token: token.clone(),
            details,
            identity: self.context.settings.identity.clone(),
            namespace: self.context.client.namespace().to_owned(),
            ..Default::default()
        };
        self.context
            .deliver::<_, RespondActivityTaskCanceledResponse>(
                methods::RESPOND_ACTIVITY_TASK_CANCELED,
                &request,
            )
            .await
            .map(drop)
    }
}

fn one(payload: durably_proto::temporal::api::common::v1::Payload) -> Payloads {
    Payloads { payloads: vec![payload] }
}

fn cancel_details(failure: Failure) -> Option<Payloads> {
    match failure.failure_info {
        Some(FailureInfo::CanceledFailureInfo(info)) => info.details,
        _ => None,
    }
}

/// The result will not get smaller by another attempt.
fn too_large(error: &CallError) -> Failure {
    let info = ApplicationFailureInfo {
        r#type: "ResultTooLarge".to_owned(),
        non_retryable: true,
        ..Default::default()
    };
    Failure {
        message: format!(
            "the activity's result is too large for one message ({}): return a reference to it instead",
            error.message
        ),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(info)),
        ..Default::default()
    }
}

/// The server refuses a cancellation that the workflow didn't ask for, and would then wait for the time-out. As a
/// failure, the attempt is retried by its policy.
fn unrequested_cancellation(cause: Failure, reason: Option<Reason>) -> Failure {
    let (kind, message) = match reason {
        Some(Reason::WorkerShutdown) => {
            ("WorkerShutdown", "the worker shut down before this attempt was done; another attempt follows")
        }
        Some(Reason::TimedOut) => ("TimedOut", "the attempt ran out of time and was stopped by its worker"),
        Some(Reason::Paused) => ("ActivityPaused", "the activity was paused and its attempt stopped"),
        Some(Reason::Reset) => ("ActivityReset", "the activity was reset and its attempt stopped"),
        _ => ("UnrequestedCancellation", "the activity ended as cancelled although nobody cancelled it"),
    };
    Failure {
        message: message.to_owned(),
        cause: Some(Box::new(cause)),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: kind.to_owned(),
            ..Default::default()
        })),
        ..Default::default()
    }
}
