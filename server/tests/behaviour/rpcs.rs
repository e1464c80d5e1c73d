//! Every RPC of the API: answered, or refused with a reason why those who call it bear that. An RPC that a new release of
//! the API adds stands in neither list, and fails the test.
//!
//! UNIMPLEMENTED is a code that no official SDK sends a call again for, but for polls of tasks: what matters is whether
//! somebody calls the RPC by himself, and what he does then.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Code, client::Grpc, transport::Channel};

use crate::{support::*, wire::world::Raw};

/// What official programs call by themselves, or in a program that uses nothing that this server lacks.
const CALLED: &[(&str, &[&str])] = &[
    (
        "workers in Python, TypeScript, .NET and Ruby, which share a core: start, work, shut-down",
        &[
            "GetSystemInfo",
            "DescribeNamespace",
            "PollWorkflowTaskQueue",
            "PollActivityTaskQueue",
            "PollNexusTaskQueue",
            "RespondWorkflowTaskCompleted",
            "RespondWorkflowTaskFailed",
            "RespondQueryTaskCompleted",
            "RespondActivityTaskCompleted",
            "RespondActivityTaskFailed",
            "RespondActivityTaskCanceled",
            "RecordActivityTaskHeartbeat",
            "GetWorkflowExecutionHistory",
            "RecordWorkerHeartbeat",
            "ShutdownWorker",
        ],
    ),
    (
        "workers and clients in Go, beside the above",
        &["RecordActivityTaskHeartbeatById", "GetSearchAttributes", "ResetStickyTaskQueue"],
    ),
    (
        "clients of all SDKs",
        &[
            "StartWorkflowExecution",
            "SignalWithStartWorkflowExecution",
            "SignalWorkflowExecution",
            "RequestCancelWorkflowExecution",
            "TerminateWorkflowExecution",
            "QueryWorkflow",
            "UpdateWorkflowExecution",
            "PollWorkflowExecutionUpdate",
            "ExecuteMultiOperation",
            "DescribeWorkflowExecution",
            "ListWorkflowExecutions",
            "ScanWorkflowExecutions",
            "ListOpenWorkflowExecutions",
            "ListClosedWorkflowExecutions",
            "CountWorkflowExecutions",
            "RespondActivityTaskCompletedById",
            "RespondActivityTaskFailedById",
            "RespondActivityTaskCanceledById",
            "RegisterNamespace",
            "UpdateNamespace",
        ],
    ),
    (
        "the UI: its start, its pages of runs and of their workers; and the same commands of the CLI",
        &[
            "GetClusterInfo",
            "ListNamespaces",
            "ListSearchAttributes",
            "GetWorkflowExecutionHistoryReverse",
            "DescribeTaskQueue",
        ],
    ),
    (
        "test environments of the SDKs",
        &[
            "LockTimeSkipping",
            "UnlockTimeSkipping",
            "Sleep",
            "SleepUntil",
            "UnlockTimeSkippingWithSleep",
            "GetCurrentTime",
        ],
    ),
];

const ASKED_FOR: &str =
    "a program, command or page calls it when its user asks for just this, and shows him the refusal";
const NEVER_BEGUN: &str =
    "comes after something that this server refuses or never hands out, and so not at all";
const DEPRECATED: &str =
    "the SDKs of today have something else in its place; those who call it still show the refusal";

/// What is refused: why that is borne, and of which feature it is.
const REFUSED: &[(&str, &str, &[&str])] = &[
    (
        ASKED_FOR,
        "schedules: `supports_schedules` is false in GetSystemInfo and in DescribeNamespace, by which the UI knows",
        &[
            "CreateSchedule",
            "DescribeSchedule",
            "UpdateSchedule",
            "PatchSchedule",
            "ListScheduleMatchingTimes",
            "DeleteSchedule",
            "ListSchedules",
            "CountSchedules",
        ],
    ),
    (
        ASKED_FOR,
        "reset, deletion, pause, and options of runs",
        &[
            "ResetWorkflowExecution",
            "DeleteWorkflowExecution",
            "PauseWorkflowExecution",
            "UnpauseWorkflowExecution",
            "UpdateWorkflowExecutionOptions",
            "PollWorkflowExecutionTimeSkipping",
        ],
    ),
    (
        ASKED_FOR,
        "pause, reset, and options of pending activities",
        &["PauseActivity", "UnpauseActivity", "ResetActivity", "UpdateActivityOptions"],
    ),
    (
        ASKED_FOR,
        "batch operations",
        &["StartBatchOperation", "StopBatchOperation", "DescribeBatchOperation", "ListBatchOperations"],
    ),
    (
        ASKED_FOR,
        "activities outside workflows: the capability is absent in DescribeNamespace",
        &[
            "StartActivityExecution",
            "DescribeActivityExecution",
            "PollActivityExecution",
            "ListActivityExecutions",
            "CountActivityExecutions",
            "RequestCancelActivityExecution",
            "TerminateActivityExecution",
            "DeleteActivityExecution",
            "PauseActivityExecution",
            "UnpauseActivityExecution",
            "ResetActivityExecution",
            "UpdateActivityExecutionOptions",
        ],
    ),
    (
        NEVER_BEGUN,
        "Nexus tasks: polls for them come back empty",
        &["RespondNexusTaskCompleted", "RespondNexusTaskFailed"],
    ),
    (
        ASKED_FOR,
        "Nexus: `nexus` is false in GetSystemInfo",
        &[
            "StartNexusOperationExecution",
            "DescribeNexusOperationExecution",
            "PollNexusOperationExecution",
            "ListNexusOperationExecutions",
            "CountNexusOperationExecutions",
            "RequestCancelNexusOperationExecution",
            "TerminateNexusOperationExecution",
            "DeleteNexusOperationExecution",
            "CreateNexusEndpoint",
            "UpdateNexusEndpoint",
            "DeleteNexusEndpoint",
            "GetNexusEndpoint",
            "ListNexusEndpoints",
        ],
    ),
    (
        ASKED_FOR,
        "workers as a list, and their configuration: `worker_heartbeats` is false in DescribeNamespace, so that none is known",
        &["ListWorkers", "CountWorkers", "DescribeWorker", "FetchWorkerConfig", "UpdateWorkerConfig"],
    ),
    (
        ASKED_FOR,
        "versions of workers: deployments",
        &[
            "CreateWorkerDeployment",
            "CreateWorkerDeploymentVersion",
            "DescribeWorkerDeployment",
            "DescribeWorkerDeploymentVersion",
            "ListWorkerDeployments",
            "DeleteWorkerDeployment",
            "DeleteWorkerDeploymentVersion",
            "SetWorkerDeploymentCurrentVersion",
            "SetWorkerDeploymentManager",
            "SetWorkerDeploymentRampingVersion",
            "UpdateWorkerDeploymentVersionMetadata",
            "UpdateWorkerDeploymentVersionComputeConfig",
            "ValidateWorkerDeploymentVersionComputeConfig",
        ],
    ),
    (
        DEPRECATED,
        "versions of workers, as they were before: `build_id_based_versioning` is false in GetSystemInfo",
        &[
            "GetWorkerBuildIdCompatibility",
            "UpdateWorkerBuildIdCompatibility",
            "GetWorkerVersioningRules",
            "UpdateWorkerVersioningRules",
            "GetWorkerTaskReachability",
            "DescribeDeployment",
            "ListDeployments",
            "GetDeploymentReachability",
            "GetCurrentDeployment",
            "SetCurrentDeployment",
        ],
    ),
    (
        ASKED_FOR,
        "rules about workflows",
        &[
            "CreateWorkflowRule",
            "DescribeWorkflowRule",
            "DeleteWorkflowRule",
            "ListWorkflowRules",
            "TriggerWorkflowRule",
        ],
    ),
    (
        ASKED_FOR,
        "what an operator does to a cluster: there is one cluster, without archives, partitions or custom attributes",
        &[
            "DeprecateNamespace",
            "DeleteNamespace",
            "ListArchivedWorkflowExecutions",
            "ListTaskQueuePartitions",
            "UpdateTaskQueueConfig",
            "AddSearchAttributes",
            "RemoveSearchAttributes",
            "AddOrUpdateRemoteCluster",
            "RemoveRemoteCluster",
            "ListClusters",
        ],
    ),
];

/// Names and paths of all RPCs of the API.
fn api() -> BTreeMap<String, String> {
    let set = FileDescriptorSet::decode(durably_proto::DESCRIPTORS).unwrap();
    let mut all = BTreeMap::new();
    for file in set.file.iter().filter(|file| file.package().starts_with("temporal.api.")) {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                assert!(all.insert(method.name().to_owned(), path).is_none(), "{} twice", method.name());
            }
        }
    }
    all
}

async fn call(channel: &Channel, path: &str) -> tonic::Status {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = within(std::time::Duration::from_secs(20), Bytes::new());
    let answer = client.unary(request, path.parse().unwrap(), Raw).await;
    answer.err().unwrap_or_else(|| tonic::Status::ok(""))
}

#[tokio::test]
async fn every_rpc_is_answered_or_refused_for_a_reason() {
    // For the RPCs about time.
    let harness = Harness::with(|options| options.time_skipping = true).await;
    let channel =
        Channel::from_shared(format!("http://{}", harness.address)).unwrap().connect().await.unwrap();
    let mut api = api();
    let mut known = BTreeSet::new();
    for (_, names) in CALLED {
        for name in *names {
            assert!(known.insert(*name), "{name} stands twice in the lists");
            let path = api.remove(*name).unwrap_or_else(|| panic!("{name} is no RPC of the API"));
            let answered = call(&channel, &path).await;
            assert_ne!(answered.code(), Code::Unimplemented, "{name}: {answered}");
        }
    }
    for (reason, feature, names) in REFUSED {
        assert!(!reason.is_empty() && !feature.is_empty());
        for name in *names {
            assert!(known.insert(*name), "{name} stands twice in the lists");
            let path = api.remove(*name).unwrap_or_else(|| panic!("{name} is no RPC of the API"));
            let refused = call(&channel, &path).await;
            assert_eq!(refused.code(), Code::Unimplemented, "{name}: {refused}");
            // Who sees it in a log shall know which call that was.
            assert!(refused.message().contains(name), "{name}: {refused}");
        }
    }
    assert!(api.is_empty(), "RPCs of the API in neither list: {:?}", api.keys().collect::<Vec<_>>());
}
