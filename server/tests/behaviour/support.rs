//! A server to talk to, and a worker played by hand.

use std::{net::SocketAddr, time::Duration};

use durably_proto::temporal::api::{
    command::v1::{command::Attributes, *},
    common::v1::*,
    enums::v1::*,
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    history::v1::{HistoryEvent, history_event::Attributes as Event},
    protocol::v1::Message as ProtocolMessage,
    taskqueue::v1::TaskQueue,
    testservice::v1::test_service_client::TestServiceClient,
    update::v1 as update,
    workflow::v1::WorkflowExecutionInfo,
    workflowservice::v1::{workflow_service_client::WorkflowServiceClient, *},
};
use durably_server::{Server, ServerOptions, State};
use prost::Message as _;
use tempfile::TempDir;
use tonic::{Code, Request, Status, transport::Channel};

pub const NAMESPACE: &str = "default";
pub const QUEUE: &str = "queue";
/// How long a call may wait for what a test expects to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a state file of its own, listening on a free port, and a client of it.
pub struct Harness {
    pub server: Server,
    pub address: SocketAddr,
    pub client: WorkflowServiceClient<Channel>,
    pub directory: TempDir,
}

impl Harness {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::on(directory, change).await
    }

    /// Opens the state file in the directory.
    pub async fn on(directory: TempDir, change: impl FnOnce(&mut ServerOptions)) -> Self {
        let mut options =
            ServerOptions { state: State::File(directory.path().join("state.db")), ..Default::default() };
        // The suite runs with one shard and, told so by this variable, with several.
        if let Ok(shards) = std::env::var("DURABLY_TEST_SHARDS") {
            options.shards = shards.parse().unwrap();
        }
        change(&mut options);
        let server = Server::open(options).await.unwrap();
        let listener = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn({
            let server = server.clone();
            async move { server.serve(listener).await }
        });
        let client = WorkflowServiceClient::connect(format!("http://{address}")).await.unwrap();
        Self { server, address, client, directory }
    }

    /// Shuts the server down and opens another one on the same file.
    pub async fn restart(self) -> Self {
        let Self { server, client, directory, .. } = self;
        drop(client);
        server.shutdown().await;
        drop(server);
        Self::on(directory, |_| {}).await
    }

    pub fn client(&self) -> WorkflowServiceClient<Channel> {
        self.client.clone()
    }

    pub async fn clock(&self) -> TestServiceClient<Channel> {
        TestServiceClient::connect(format!("http://{}", self.address)).await.unwrap()
    }

    /// Starts a workflow of type `Order` and returns its run id.
    pub async fn begin(&self, workflow_id: &str) -> String {
        self.begin_as(start(workflow_id)).await
    }

    pub async fn begin_as(&self, request: StartWorkflowExecutionRequest) -> String {
        self.client().start_workflow_execution(request).await.unwrap().into_inner().run_id
    }

    pub async fn signal(&self, workflow_id: &str, name: &str, input: &str) {
        let request = SignalWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            workflow_execution: Some(execution(workflow_id, "")),
            signal_name: name.into(),
            input: Some(text(input)),
            ..Default::default()
        };
        self.client().signal_workflow_execution(request).await.unwrap();
    }

    /// The next workflow task; an empty answer is a failed test.
    pub async fn workflow_task(&self) -> PollWorkflowTaskQueueResponse {
        let task = self.poll_workflow(PATIENCE).await.unwrap();
        assert!(!task.task_token.is_empty(), "no workflow task came within {PATIENCE:?}");
        task
    }

    pub async fn poll_workflow(&self, timeout: Duration) -> Result<PollWorkflowTaskQueueResponse, Status> {
        self.poll_workflow_in(NAMESPACE, timeout).await
    }

    pub async fn poll_workflow_in(
        &self,
        namespace: &str,
        timeout: Duration,
    ) -> Result<PollWorkflowTaskQueueResponse, Status> {
        let request = PollWorkflowTaskQueueRequest {
            namespace: namespace.into(),
            task_queue: Some(queue(QUEUE)),
            identity: "tester".into(),
            ..Default::default()
        };
        let answer = self.client().poll_workflow_task_queue(within(timeout, request)).await?;
        Ok(answer.into_inner())
    }

    pub async fn complete(&self, task: &PollWorkflowTaskQueueResponse, commands: Vec<Command>) {
        self.try_complete(task, commands).await.unwrap();
    }

    pub async fn try_complete(
        &self,
        task: &PollWorkflowTaskQueueResponse,
        commands: Vec<Command>,
    ) -> Result<RespondWorkflowTaskCompletedResponse, Status> {
        self.try_complete_in(NAMESPACE, task, commands).await
    }

    pub async fn try_complete_in(
        &self,
        namespace: &str,
        task: &PollWorkflowTaskQueueResponse,
        commands: Vec<Command>,
    ) -> Result<RespondWorkflowTaskCompletedResponse, Status> {
        let request = RespondWorkflowTaskCompletedRequest {
            namespace: namespace.into(),
            task_token: task.task_token.clone(),
            identity: "tester".into(),
            commands,
            ..Default::default()
        };
        Ok(self.client().respond_workflow_task_completed(request).await?.into_inner())
    }

    /// Takes the next workflow task and answers it with these commands.
    pub async fn advance(&self, commands: Vec<Command>) -> PollWorkflowTaskQueueResponse {
        let task = self.workflow_task().await;
        self.complete(&task, commands).await;
        task
    }

    /// The next activity task; an empty answer is a failed test.
    pub async fn activity_task(&self) -> PollActivityTaskQueueResponse {
        let request = PollActivityTaskQueueRequest {
            namespace: NAMESPACE.into(),
            task_queue: Some(queue(QUEUE)),
            identity: "tester".into(),
            ..Default::default()
        };
        let task =
            self.client().poll_activity_task_queue(within(PATIENCE, request)).await.unwrap().into_inner();
        assert!(!task.task_token.is_empty(), "no activity task came within {PATIENCE:?}");
        task
    }

    pub async fn complete_activity(&self, task: &PollActivityTaskQueueResponse, result: &str) {
        let request = RespondActivityTaskCompletedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token.clone(),
            result: Some(text(result)),
            ..Default::default()
        };
        self.client().respond_activity_task_completed(request).await.unwrap();
    }

    pub async fn fail_activity(&self, task: &PollActivityTaskQueueResponse, failure: Failure) {
        let request = RespondActivityTaskFailedRequest {
            namespace: NAMESPACE.into(),
            task_token: task.task_token.clone(),
            failure: Some(failure),
            ..Default::default()
        };
        self.client().respond_activity_task_failed(request).await.unwrap();
    }

    /// The whole history of the current run.
    pub async fn events(&self, workflow_id: &str) -> Vec<HistoryEvent> {
        let request = GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.into(),
            execution: Some(execution(workflow_id, "")),
            ..Default::default()
        };
        let answer = self.client().get_workflow_execution_history(request).await.unwrap().into_inner();
        assert!(answer.next_page_token.is_empty(), "more than one page");
        answer.history.unwrap().events
    }

    /// Takes the next workflow task and all pages of its history, as a worker does: the ids of its events.
    pub async fn ids_of_task(&self, workflow_id: &str) -> Vec<i64> {
        let task = self.workflow_task().await;
        let mut ids: Vec<i64> = history(&task).iter().map(|event| event.event_id).collect();
        let mut token = task.next_page_token;
        while !token.is_empty() {
            let request = GetWorkflowExecutionHistoryRequest {
                namespace: NAMESPACE.into(),
                execution: Some(execution(workflow_id, "")),
                next_page_token: token,
                ..Default::default()
            };
            let page = self.client().get_workflow_execution_history(request).await.unwrap().into_inner();
            ids.extend(page.history.unwrap().events.iter().map(|event| event.event_id));
            token = page.next_page_token;
        }
        ids
    }

    /// Waits for the run to close and returns its last event.
    pub async fn closing_event(&self, workflow_id: &str, run_id: &str) -> Event {
        let mut request = GetWorkflowExecutionHistoryRequest {
            namespace: NAMESPACE.into(),
            execution: Some(execution(workflow_id, run_id)),
            wait_new_event: true,
            history_event_filter_type: HistoryEventFilterType::CloseEvent as i32,
            ..Default::default()
        };
        loop {
            let call = self.client().get_workflow_execution_history(within(PATIENCE, request.clone())).await;
            let answer = call.unwrap().into_inner();
            if let Some(event) = answer.history.and_then(|history| history.events.into_iter().next_back()) {
                return event.attributes.unwrap();
            }
            assert!(
                !answer.next_page_token.is_empty(),
                "the run did not close, and there is no more to wait for"
            );
            request.next_page_token = answer.next_page_token;
        }
    }

    pub async fn describe(&self, workflow_id: &str) -> DescribeWorkflowExecutionResponse {
        let request = DescribeWorkflowExecutionRequest {
            namespace: NAMESPACE.into(),
            execution: Some(execution(workflow_id, "")),
        };
        self.client().describe_workflow_execution(request).await.unwrap().into_inner()
    }

    pub async fn info(&self, workflow_id: &str) -> WorkflowExecutionInfo {
        self.describe(workflow_id).await.workflow_execution_info.unwrap()
    }
}

pub fn within<T>(timeout: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

pub fn start(workflow_id: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "Order".into() }),
        task_queue: Some(queue(QUEUE)),
        input: Some(text("input")),
        identity: "tester".into(),
        ..Default::default()
    }
}

pub fn queue(name: &str) -> TaskQueue {
    TaskQueue { name: name.into(), kind: TaskQueueKind::Normal as i32, ..Default::default() }
}

pub fn execution(workflow_id: &str, run_id: &str) -> WorkflowExecution {
    WorkflowExecution { workflow_id: workflow_id.into(), run_id: run_id.into() }
}

pub fn text(value: &str) -> Payloads {
    let metadata = [("encoding".to_owned(), "json/plain".into())].into();
    let data = format!("\"{value}\"").into();
    Payloads { payloads: vec![Payload { metadata, data, ..Default::default() }] }
}

/// What [`text`] was made of.
pub fn read(payloads: &Payloads) -> String {
    let data = &payloads.payloads.first().expect("a payload").data;
    String::from_utf8_lossy(data).trim_matches('"').to_owned()
}

pub fn oversized() -> Payloads {
    text(&"x".repeat(2 * 1024 * 1024))
}

pub fn millis(millis: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: millis / 1_000, nanos: (millis % 1_000 * 1_000_000) as i32 })
}

pub fn application_failure(message: &str, non_retryable: bool) -> Failure {
    Failure {
        message: message.into(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: "Oops".into(),
            non_retryable,
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn command(kind: CommandType, attributes: Attributes) -> Command {
    Command { command_type: kind as i32, attributes: Some(attributes), ..Default::default() }
}

pub fn complete_workflow(result: &str) -> Command {
    let attributes = CompleteWorkflowExecutionCommandAttributes { result: Some(text(result)) };
    command(
        CommandType::CompleteWorkflowExecution,
        Attributes::CompleteWorkflowExecutionCommandAttributes(attributes),
    )
}

pub fn fail_workflow(message: &str) -> Command {
    let attributes =
        FailWorkflowExecutionCommandAttributes { failure: Some(application_failure(message, false)) };
    command(
        CommandType::FailWorkflowExecution,
        Attributes::FailWorkflowExecutionCommandAttributes(attributes),
    )
}

pub fn cancel_workflow() -> Command {
    command(
        CommandType::CancelWorkflowExecution,
        Attributes::CancelWorkflowExecutionCommandAttributes(CancelWorkflowExecutionCommandAttributes {
            details: None,
        }),
    )
}

pub fn continue_as_new(input: &str) -> Command {
    let attributes = ContinueAsNewWorkflowExecutionCommandAttributes {
        workflow_type: Some(WorkflowType { name: "Order".into() }),
        task_queue: Some(queue(QUEUE)),
        input: Some(text(input)),
        ..Default::default()
    };
    command(
        CommandType::ContinueAsNewWorkflowExecution,
        Attributes::ContinueAsNewWorkflowExecutionCommandAttributes(attributes),
    )
}

pub fn start_child(
    workflow_id: &str,
    change: impl FnOnce(&mut StartChildWorkflowExecutionCommandAttributes),
) -> Command {
    let mut attributes = StartChildWorkflowExecutionCommandAttributes {
        workflow_id: workflow_id.into(),
        workflow_type: Some(WorkflowType { name: "Child".into() }),
        input: Some(text("input")),
        ..Default::default()
    };
    change(&mut attributes);
    command(
        CommandType::StartChildWorkflowExecution,
        Attributes::StartChildWorkflowExecutionCommandAttributes(attributes),
    )
}

pub fn start_timer(id: &str, delay: Option<prost_types::Duration>) -> Command {
    let attributes = StartTimerCommandAttributes { timer_id: id.into(), start_to_fire_timeout: delay };
    command(CommandType::StartTimer, Attributes::StartTimerCommandAttributes(attributes))
}

pub fn cancel_timer(id: &str) -> Command {
    let attributes = CancelTimerCommandAttributes { timer_id: id.into() };
    command(CommandType::CancelTimer, Attributes::CancelTimerCommandAttributes(attributes))
}

/// An activity of type `Charge` with a start-to-close time-out of 30 s, changed as the test needs.
pub fn schedule_activity(
    id: &str,
    change: impl FnOnce(&mut ScheduleActivityTaskCommandAttributes),
) -> Command {
    let mut attributes = ScheduleActivityTaskCommandAttributes {
        activity_id: id.into(),
        activity_type: Some(ActivityType { name: "Charge".into() }),
        task_queue: Some(queue(QUEUE)),
        input: Some(text("amount")),
        start_to_close_timeout: millis(30_000),
        ..Default::default()
    };
    change(&mut attributes);
    command(CommandType::ScheduleActivityTask, Attributes::ScheduleActivityTaskCommandAttributes(attributes))
}

pub fn request_cancel_activity(scheduled_event_id: i64) -> Command {
    command(
        CommandType::RequestCancelActivityTask,
        Attributes::RequestCancelActivityTaskCommandAttributes(RequestCancelActivityTaskCommandAttributes {
            scheduled_event_id,
        }),
    )
}

/// The names of events as Temporal's documentation writes them, without the common prefix.
pub fn names(events: &[HistoryEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| event.event_type().as_str_name().trim_start_matches("EVENT_TYPE_").to_owned())
        .collect()
}

pub fn history(task: &PollWorkflowTaskQueueResponse) -> &[HistoryEvent] {
    task.history.as_ref().map_or(&[], |history| &history.events)
}

/// The code and the short name of the detail message (empty without one).
pub fn code_and_detail(status: &Status) -> (Code, String) {
    let details = durably_proto::google::rpc::Status::decode(status.details()).unwrap();
    let detail = details.details.first().map_or("", |any| any.type_url.rsplit('.').next().unwrap_or(""));
    (status.code(), detail.to_owned())
}

/// A change of the workflow, by this id, that is waited for to its end.
pub fn update(workflow_id: &str, update_id: &str) -> UpdateWorkflowExecutionRequest {
    UpdateWorkflowExecutionRequest {
        namespace: NAMESPACE.into(),
        workflow_execution: Some(execution(workflow_id, "")),
        wait_policy: wait_for(UpdateWorkflowExecutionLifecycleStage::Completed),
        request: Some(update::Request {
            meta: Some(update::Meta { update_id: update_id.into(), identity: "asker".into() }),
            input: Some(update::Input {
                name: "change".into(),
                args: Some(text("to this")),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn poll_update(workflow_id: &str, update_id: &str) -> PollWorkflowExecutionUpdateRequest {
    PollWorkflowExecutionUpdateRequest {
        namespace: NAMESPACE.into(),
        update_ref: Some(update::UpdateRef {
            workflow_execution: Some(execution(workflow_id, "")),
            update_id: update_id.into(),
        }),
        wait_policy: wait_for(UpdateWorkflowExecutionLifecycleStage::Completed),
        ..Default::default()
    }
}

pub fn wait_for(stage: UpdateWorkflowExecutionLifecycleStage) -> Option<update::WaitPolicy> {
    Some(update::WaitPolicy { lifecycle_stage: stage as i32 })
}

/// An update's outcome: its result, or the message of its failure.
pub fn outcome_of(outcome: Option<update::Outcome>) -> String {
    match outcome.expect("an outcome").value.expect("a value") {
        update::outcome::Value::Success(payloads) => read(&payloads),
        update::outcome::Value::Failure(failure) => failure.message,
    }
}

fn request_of(task: &PollWorkflowTaskQueueResponse, index: usize) -> (&ProtocolMessage, update::Request) {
    let message = &task.messages[index];
    let body = message.body.as_ref().expect("a body");
    (message, update::Request::decode(body.value.as_slice()).expect("a request"))
}

fn reply<M: prost::Message + prost::Name>(update_id: &str, word: &str, body: &M) -> ProtocolMessage {
    ProtocolMessage {
        id: format!("{update_id}/{word}"),
        protocol_instance_id: update_id.into(),
        body: Some(prost_types::Any { type_url: M::type_url(), value: body.encode_to_vec() }),
        ..Default::default()
    }
}

/// The acceptance of the task's update of this number.
pub fn accepted(task: &PollWorkflowTaskQueueResponse, index: usize) -> ProtocolMessage {
    let (message, request) = request_of(task, index);
    let acceptance = update::Acceptance {
        accepted_request_message_id: message.id.clone(),
        accepted_request_sequencing_event_id: task.started_event_id - 1,
        accepted_request: Some(request),
    };
    reply(&message.protocol_instance_id, "accept", &acceptance)
}

pub fn rejected(task: &PollWorkflowTaskQueueResponse, index: usize, why: &str) -> ProtocolMessage {
    let (message, request) = request_of(task, index);
    let rejection = update::Rejection {
        rejected_request_message_id: message.id.clone(),
        rejected_request_sequencing_event_id: task.started_event_id - 1,
        rejected_request: Some(request),
        failure: Some(application_failure(why, false)),
    };
    reply(&message.protocol_instance_id, "reject", &rejection)
}

pub fn responded(task: &PollWorkflowTaskQueueResponse, index: usize, result: &str) -> ProtocolMessage {
    response(&task.messages[index].protocol_instance_id, result)
}

/// The result of an update that was accepted before.
pub fn response(update_id: &str, result: &str) -> ProtocolMessage {
    let outcome = update::Outcome { value: Some(update::outcome::Value::Success(text(result))) };
    let meta = update::Meta { update_id: update_id.into(), ..Default::default() };
    reply(update_id, "respond", &update::Response { meta: Some(meta), outcome: Some(outcome) })
}

/// A task that is completed with these messages, and with a command for each but the rejections, as workers do it.
pub fn completed_with(
    namespace: &str,
    task: &PollWorkflowTaskQueueResponse,
    messages: Vec<ProtocolMessage>,
) -> RespondWorkflowTaskCompletedRequest {
    let commands = messages.iter().filter(|message| !message.id.ends_with("/reject")).map(|message| {
        let named = ProtocolMessageCommandAttributes { message_id: message.id.clone() };
        Command {
            command_type: CommandType::ProtocolMessage as i32,
            attributes: Some(Attributes::ProtocolMessageCommandAttributes(named)),
            ..Default::default()
        }
    });
    RespondWorkflowTaskCompletedRequest {
        namespace: namespace.into(),
        task_token: task.task_token.clone(),
        identity: "tester".into(),
        commands: commands.collect(),
        messages,
        ..Default::default()
    }
}
