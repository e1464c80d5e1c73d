//! What a row of the table works with: a client, and ids and a queue of its own.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use durably_proto::temporal::api::{
    command::v1::Command,
    enums::v1::QueryResultType,
    query::v1::WorkflowQuery,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use tonic::{
    Request, Response, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::support::*;

/// How long an answer may take before it counts as none.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone)]
pub struct World {
    channel: Channel,
    /// The id of its workflow.
    pub id: String,
    /// The name of its task queue.
    pub queue: String,
    largest_answer: usize,
}

impl World {
    pub fn new(channel: Channel, name: &str, largest_answer: usize) -> Self {
        let id = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        Self { channel, queue: format!("queue-{id}"), id, largest_answer }
    }

    pub fn client(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel.clone())
            .max_decoding_message_size(self.largest_answer)
            .max_encoding_message_size(usize::MAX)
    }

    /// The same client, with ids and a queue of its own.
    pub fn another(&self) -> Self {
        let id = format!("{}-other", self.id);
        Self { queue: format!("queue-{id}"), id, ..self.clone() }
    }

    pub fn start(
        &self,
        change: impl FnOnce(&mut StartWorkflowExecutionRequest),
    ) -> StartWorkflowExecutionRequest {
        let mut request = start(&self.id);
        request.task_queue = Some(queue(&self.queue));
        // Long enough that no row loses its task to a time-out.
        request.workflow_task_timeout = millis(120_000);
        change(&mut request);
        request
    }

    /// Starts the row's workflow and returns its run id.
    pub async fn begin(&self) -> String {
        let answer = self.client().start_workflow_execution(self.start(|_| ())).await;
        answer.unwrap().into_inner().run_id
    }

    pub async fn signal(&self) -> Result<(), Status> {
        let request = SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_execution: Some(execution(&self.id, "")),
            signal_name: "go".into(),
            ..Default::default()
        };
        self.client().signal_workflow_execution(request).await.map(drop)
    }

    pub async fn terminate(&self) -> Result<(), Status> {
        let request = TerminateWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_execution: Some(execution(&self.id, "")),
            ..Default::default()
        };
        self.client().terminate_workflow_execution(request).await.map(drop)
    }

    pub async fn try_task(&self, patience: Duration) -> Option<PollWorkflowTaskQueueResponse> {
        let request = PollWorkflowTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: Some(queue(&self.queue)),
            identity: "tester".into(),
            ..Default::default()
        };
        let answer = self.client().poll_workflow_task_queue(within(patience, request)).await;
        Some(answer.unwrap().into_inner()).filter(|task| !task.task_token.is_empty())
    }

    pub async fn task(&self) -> PollWorkflowTaskQueueResponse {
        self.try_task(PATIENCE).await.expect("no workflow task came")
    }

    pub async fn complete(
        &self,
        token: &Bytes,
        commands: Vec<Command>,
    ) -> Result<Response<RespondWorkflowTaskCompletedResponse>, Status> {
        let request = RespondWorkflowTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: token.clone(),
            identity: "tester".into(),
            commands,
            ..Default::default()
        };
        self.client().respond_workflow_task_completed(request).await
    }

    /// Starts the workflow and answers its first task.
    pub async fn after(&self, commands: Vec<Command>) {
        self.begin().await;
        let task = self.task().await;
        self.complete(&task.task_token, commands).await.unwrap();
    }

    /// Starts the workflow, answers its first task with these, and makes sure that the run is still there if they
    /// were refused.
    pub async fn command(&self, commands: Vec<Command>) -> Result<(), Status> {
        self.begin().await;
        let task = self.task().await;
        let answer = self.complete(&task.task_token, commands).await.map(drop);
        if answer.is_err() {
            self.signal().await.expect("the run is gone after its commands were refused");
            let events = self.events().await;
            assert!(
                !events.iter().any(|name| name.starts_with("TIMER") || name.starts_with("ACTIVITY")),
                "some of them were carried out: {events:?}"
            );
        }
        answer
    }

    /// A task of the workflow's activity, which is on the same queue.
    pub async fn activity(&self) -> PollActivityTaskQueueResponse {
        self.after(vec![self.scheduled("a")]).await;
        self.activity_task().await
    }

    pub fn scheduled(&self, id: &str) -> Command {
        schedule_activity(id, |a| {
            a.task_queue = Some(queue(&self.queue));
            // Longer than the whole table takes, which the witness must outlast.
            a.start_to_close_timeout = millis(600_000);
            a.retry_policy = Some(durably_proto::temporal::api::common::v1::RetryPolicy {
                maximum_attempts: 1,
                ..Default::default()
            });
        })
    }

    pub async fn activity_task(&self) -> PollActivityTaskQueueResponse {
        let request = PollActivityTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: Some(queue(&self.queue)),
            identity: "tester".into(),
            ..Default::default()
        };
        let task = self.client().poll_activity_task_queue(within(PATIENCE, request)).await.unwrap();
        assert!(!task.get_ref().task_token.is_empty(), "no activity task came");
        task.into_inner()
    }

    pub async fn complete_activity(&self, token: &Bytes) -> Result<(), Status> {
        let request = RespondActivityTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: token.clone(),
            ..Default::default()
        };
        self.client().respond_activity_task_completed(request).await.map(drop)
    }

    pub fn query_request(&self) -> QueryWorkflowRequest {
        QueryWorkflowRequest {
            namespace: NAMESPACE.into(),
            execution: Some(execution(&self.id, "")),
            query: Some(WorkflowQuery { query_type: "q".into(), ..Default::default() }),
            ..Default::default()
        }
    }

    /// A query's task, of a workflow that waits; who asked goes on waiting.
    pub async fn query_task(&self) -> PollWorkflowTaskQueueResponse {
        self.after(vec![start_timer("t", millis(600_000))]).await;
        let (mut client, request) = (self.client(), within(PATIENCE, self.query_request()));
        tokio::spawn(async move { client.query_workflow(request).await });
        self.task().await
    }

    pub fn query_answer(token: &Bytes) -> RespondQueryTaskCompletedRequest {
        RespondQueryTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: token.clone(),
            completed_type: QueryResultType::Answered as i32,
            query_result: Some(text("42")),
            ..Default::default()
        }
    }

    /// The names of the events of the run.
    pub async fn events(&self) -> Vec<String> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.into(),
            execution: Some(execution(&self.id, "")),
            ..Default::default()
        };
        let answer = self.client().get_workflow_execution_history(request).await.unwrap();
        names(&answer.into_inner().history.unwrap().events)
    }

    /// Sends these bytes as the message of the RPC.
    pub async fn raw(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let answer = client.unary(within(PATIENCE, message), path.parse().unwrap(), Raw).await;
        answer.map(Response::into_inner)
    }
}

/// A call with a deadline, for those that would wait: the client gives up with CANCELLED.
pub fn soon<T>(message: T) -> Request<T> {
    within(Duration::from_secs(3), message)
}

/// Bytes as they are.
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
