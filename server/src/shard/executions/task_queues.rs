//! What there is to say about a task queue: who polls it, what waits in it, how fast it goes.

#![expect(deprecated, reason = "the official CLI still asks in the enhanced mode, and for the status")]

use std::{collections::BTreeMap, sync::Arc};

use durably_proto::temporal::api::{
    enums::v1::{BuildIdTaskReachability, DescribeTaskQueueMode, TaskQueueType},
    taskqueue::v1::{
        PollerInfo, TaskIdBlock, TaskQueueConfig, TaskQueueStats, TaskQueueStatus, TaskQueueTypeInfo,
        TaskQueueVersionInfo,
    },
    workflowservice::v1::{DescribeTaskQueueRequest, DescribeTaskQueueResponse},
};

use super::Executions;
use crate::{
    Namespace, ServiceError,
    engine::Time,
    matching::{QueueInfo, QueueKey, QueueKind},
    shard::{
        clock::Clock,
        tasks::{TaskRef, queue_key},
        work::Work,
    },
};

/// What Temporal's server says of a queue that has no limit.
const NO_LIMIT: f64 = 100_000.0;

impl Executions {
    /// Answers in the default mode for the one type that was asked for, or in the enhanced mode for several.
    pub async fn describe_task_queue(
        &self,
        namespace: &Namespace,
        request: DescribeTaskQueueRequest,
    ) -> Result<DescribeTaskQueueResponse, ServiceError> {
        let queue = request.task_queue.as_ref().map_or("", |queue| queue.name.as_str());
        if request.api_mode() == DescribeTaskQueueMode::Enhanced {
            return self.describe_enhanced(namespace, queue, &request).await;
        }
        let info = self.queue_info(namespace, queue, request.task_queue_type()).await?;
        let status = request.include_task_queue_status.then(|| TaskQueueStatus {
            backlog_count_hint: info.backlog as i64,
            rate_per_second: rate(&info),
            // Tasks have no ids here; programs read the block without looking whether it is there.
            task_id_block: Some(TaskIdBlock::default()),
            ..Default::default()
        });
        Ok(DescribeTaskQueueResponse {
            pollers: pollers(&info),
            stats: request.report_stats.then(|| stats(&info)),
            task_queue_status: status,
            config: request.report_config.then(TaskQueueConfig::default),
            ..Default::default()
        })
    }

    /// By build ids, of which there are none: everything is under the empty one, that of workers without.
    async fn describe_enhanced(
        &self,
        namespace: &Namespace,
        queue: &str,
        request: &DescribeTaskQueueRequest,
    ) -> Result<DescribeTaskQueueResponse, ServiceError> {
        let mut types: Vec<TaskQueueType> = request.task_queue_types().collect();
        if types.is_empty() {
            types = vec![TaskQueueType::Workflow, TaskQueueType::Activity, TaskQueueType::Nexus];
        }
        let mut types_info = BTreeMap::new();
        for kind in types {
            let info = self.queue_info(namespace, queue, kind).await?;
            let of_type = TaskQueueTypeInfo {
                pollers: if request.report_pollers { pollers(&info) } else { Vec::new() },
                stats: request.report_stats.then(|| stats(&info)),
            };
            types_info.insert(kind as i32, of_type);
        }
        let reachability = if request.report_task_reachability {
            BuildIdTaskReachability::Reachable
        } else {
            BuildIdTaskReachability::Unspecified
        };
        let unversioned = TaskQueueVersionInfo { types_info, task_reachability: reachability as i32 };
        Ok(DescribeTaskQueueResponse {
            versions_info: [(String::new(), unversioned)].into(),
            config: request.report_config.then(TaskQueueConfig::default),
            ..Default::default()
        })
    }

    /// The queue without those of its tasks that no longer stand.
    async fn queue_info(
        &self,
        namespace: &Namespace,
        queue: &str,
        kind: TaskQueueType,
    ) -> Result<QueueInfo, ServiceError> {
        let kind = match kind {
            TaskQueueType::Activity => QueueKind::Activity,
            TaskQueueType::Nexus => QueueKind::Nexus,
            TaskQueueType::Workflow | TaskQueueType::Unspecified => QueueKind::Workflow,
        };
        let key = queue_key(&Arc::from(namespace.id.as_str()), queue, kind);
        self.drop_stale(&key).await?;
        Ok(self.inner.matching.describe(&key, Clock::real().0))
    }

    async fn drop_stale(&self, key: &QueueKey) -> Result<(), ServiceError> {
        let matching = &self.inner.matching;
        let mut of_shards: BTreeMap<u32, Vec<TaskRef>> = BTreeMap::new();
        for task in matching.waiting(key, |offer| offer.waiting().cloned()) {
            of_shards.entry(task.shard).or_default().push(task);
        }
        // Each is asked, also without a task: what it has answered for so far is in the queue by then.
        for shard in 0..self.inner.shards.len() as u32 {
            let tasks = of_shards.remove(&shard).unwrap_or_default();
            let stale = self.call(shard, |reply| Work::FindStale { tasks, reply }).await?;
            matching.retain(key, |offer| !offer.waiting().is_some_and(|task| stale.contains(task)));
        }
        Ok(())
    }
}

fn rate(info: &QueueInfo) -> f64 {
    info.tasks_per_second.unwrap_or(NO_LIMIT)
}

fn pollers(info: &QueueInfo) -> Vec<PollerInfo> {
    let pollers = info.pollers.iter().map(|poller| PollerInfo {
        last_access_time: Some(Time(poller.last_access).proto()),
        identity: poller.identity.clone(),
        rate_per_second: rate(info),
        ..Default::default()
    });
    pollers.collect()
}

fn stats(info: &QueueInfo) -> TaskQueueStats {
    TaskQueueStats {
        approximate_backlog_count: info.backlog as i64,
        approximate_backlog_age: info.backlog_age.try_into().ok(),
        tasks_add_rate: info.added_per_second,
        tasks_dispatch_rate: info.handed_over_per_second,
        rate_limiting_active: info.tasks_per_second.is_some() && info.backlog > 0,
    }
}
