//! The gRPC face: `durably.sidecar.v1`, the messages of the contract as they are.

use std::sync::Arc;

use axum::Router;
use durably_proto::durably::{
    core::v1::{
        AwaitWorkflow, Call, CallError, CallResult, WorkerEvent, WorkerRequest, WorkflowResult,
        worker_event::Event, worker_request::Request as FromApplication,
    },
    sidecar::v1::{
        Join, WorkRequest,
        sidecar_server::{SERVICE_NAME, Sidecar, SidecarServer},
        work_request::Request as Asked,
    },
};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Request, Response, Status, Streaming, codegen::BoxStream, service::interceptor::InterceptedService,
};

use crate::{
    Shared,
    assignment::{Activations, Refusal, Wants},
    http::is_authorized,
    queue::{Queue, Visit},
};

/// Events on their way to an application; more wait unassigned, where others can have them.
const BUFFER: usize = 16;

/// Adds the service to `router`, for connections that must show the token if there is one.
pub(crate) fn add(router: Router, shared: &Arc<Shared>, token: Option<&str>) -> Router {
    let token = token.map(str::to_owned);
    let guard = move |request: Request<()>| {
        let header = request.metadata().get("authorization").map(tonic::metadata::MetadataValue::as_bytes);
        if is_authorized(header, token.as_deref()) {
            return Ok(request);
        }
        Err(Status::unauthenticated(
            "send the metadata `authorization: Bearer TOKEN` with the token of the sidecar's token_file",
        ))
    };
    let service = SidecarServer::new(Face(Arc::clone(shared))).max_decoding_message_size(shared.body_bytes);
    let path = format!("/{SERVICE_NAME}/{{*method}}");
    router.route_service(&path, InterceptedService::new(service, guard))
}

/// Whether calls of this path are streams, which last as long as the application does.
pub(crate) fn is_stream(path: &str) -> bool {
    path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME)) == Some("/Work")
}

struct Face(Arc<Shared>);

#[tonic::async_trait]
impl Sidecar for Face {
    async fn work(
        &self,
        request: Request<Streaming<WorkRequest>>,
    ) -> Result<Response<BoxStream<WorkerEvent>>, Status> {
        let mut requests = request.into_inner();
        let Some(WorkRequest { request: Some(Asked::Join(join)) }) = requests.message().await? else {
            return Err(Status::invalid_argument("the first message of Work must be `join`"));
        };
        let queue = self.0.queues.get(&join.task_queue).ok_or_else(|| {
            Status::not_found(format!(
                "task queue `{}` is not in the configuration: add [[worker]] with this task_queue",
                join.task_queue
            ))
        })?;
        let application = match &join.application {
            name if name.is_empty() => uuid::Uuid::new_v4().to_string(),
            name => name.clone(),
        };
        let visit = queue.enter(&application).map_err(|error| status(&error))?;
        let (events, stream) = mpsc::channel(BUFFER);
        let application = Application {
            queue: Arc::clone(queue),
            visit,
            workflows: join.workflows && queue.options().workflows,
            free: free(&join, queue),
            is_leaving: false,
        };
        tokio::spawn(application.work(requests, events));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn call(&self, request: Request<Call>) -> Result<Response<CallResult>, Status> {
        Ok(Response::new(self.0.client.call(request.into_inner()).await))
    }

    async fn await_workflow(
        &self,
        request: Request<AwaitWorkflow>,
    ) -> Result<Response<WorkflowResult>, Status> {
        let result = self.0.client.await_workflow(request.into_inner()).await;
        result.map(Response::new).map_err(|error| status(&error))
    }
}

fn free(join: &Join, queue: &Queue) -> u32 {
    if queue.options().activities { join.activities.min(i32::MAX as u32) } else { 0 }
}

fn status(error: &CallError) -> Status {
    Status::with_details(Code::from_i32(error.code), error.message.clone(), error.status.clone())
}

/// One stream.
struct Application {
    queue: Arc<Queue>,
    visit: Visit,
    workflows: bool,
    /// Activities that it could take now.
    free: u32,
    is_leaving: bool,
}

impl Application {
    /// Works until the application or the sidecar ends the stream.
    async fn work(
        mut self,
        mut requests: Streaming<WorkRequest>,
        events: mpsc::Sender<Result<WorkerEvent, Status>>,
    ) {
        let mut has_ended = false;
        loop {
            let wants = Wants {
                workflows: if self.workflows && !self.is_leaving {
                    Activations::All
                } else {
                    Activations::Own
                },
                activities: if self.is_leaving { 0 } else { self.free },
            };
            let deliver = async {
                let room = events.reserve().await.ok()?;
                Some((room, self.visit.next(wants).await))
            };
            tokio::select! {
                request = requests.next() => match request {
                    Some(Ok(request)) => {
                        if let Err(refusal) = self.handle(request) {
                            // Nobody listens any more if this fails.
                            let _ = events.send(Err(refusal)).await;
                            break;
                        }
                    }
                    Some(Err(_)) | None => break,
                },
                delivery = deliver, if !has_ended => match delivery {
                    Some((room, event)) => {
                        has_ended = matches!(event.event, Some(Event::ShutDown(_)));
                        if matches!(event.event, Some(Event::ActivityStart(_))) {
                            self.free -= 1;
                        }
                        room.send(Ok(event));
                    }
                    None => break,
                },
            }
        }
        let (queue, application) = (self.queue, self.visit.application().to_owned());
        drop(self.visit);
        queue.remove_application(&application);
    }

    fn handle(&mut self, request: WorkRequest) -> Result<(), Status> {
        let request = match request.request {
            Some(Asked::Worker(request)) => request,
            Some(Asked::Join(_)) => {
                return Err(Status::invalid_argument("`join` comes once, at the beginning"));
            }
            None => return Err(Status::invalid_argument("an empty message")),
        };
        if let Some(FromApplication::Shutdown(_)) = request.request {
            self.is_leaving = true;
            return Ok(());
        }
        self.answer(request)
    }

    fn answer(&mut self, request: WorkerRequest) -> Result<(), Status> {
        let ends_activity = matches!(request.request, Some(FromApplication::Activity(_)));
        // A slot is free again whether or not the answer still counts.
        self.free += u32::from(ends_activity);
        let application = self.visit.application();
        let taken = match request.request {
            Some(FromApplication::Replay(history)) => self.queue.replay(application, history, None),
            request => self.queue.answer(application, WorkerRequest { request }, None).map(drop),
        };
        match taken {
            Ok(()) => Ok(()),
            // As in the core: an answer that comes too late is no mistake of the application.
            Err(Refusal::Unknown(why)) => {
                tracing::debug!(why, "an answer came too late");
                Ok(())
            }
            Err(Refusal::NotYours(why)) => Err(Status::failed_precondition(why)),
            Err(Refusal::Malformed(why)) => Err(Status::invalid_argument(why)),
        }
    }
}
