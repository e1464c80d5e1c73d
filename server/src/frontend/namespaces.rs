//! Namespaces: the registry every call looks its namespace up in, and the RPCs that manage it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use durably_proto::temporal::api::{
    enums::v1::{ArchivalState, NamespaceState},
    namespace::v1 as namespace,
    replication::v1::{ClusterReplicationConfig, NamespaceReplicationConfig},
    workflowservice::v1::*,
};
use parking_lot::RwLock;
use uuid::Uuid;

use super::{Caller, Frontend, system::CLUSTER_NAME, validate};
use crate::{
    Namespace,
    error::{ErrorKind, ServiceError},
    namespace::TokenKey,
    options::ServerOptions,
    page_token,
    shard::Executions,
};

const SHORTEST_RETENTION: Duration = Duration::from_hours(1);
const MAX_PAGE: i32 = 1_000;
/// Names the list in its page tokens.
const LIST: &str = "namespaces";

/// All namespaces, by name. The store is written before the map, so that nobody sees what could be lost.
pub(super) struct Namespaces {
    by_name: RwLock<BTreeMap<String, Arc<Namespace>>>,
    /// Set aside: each with the name that it may have had, if that can be told.
    damaged: Vec<Damaged>,
    /// One registration or update at a time.
    writing: tokio::sync::Mutex<()>,
}

/// A stored namespace that cannot be used. Its runs wait until the state is restored.
struct Damaged {
    id: String,
    name: Option<String>,
}

impl Damaged {
    fn new(id: String, data: &[u8]) -> Self {
        let name =
            Namespace::decode(data).ok().map(|namespace| namespace.name).filter(|name| !name.is_empty());
        tracing::error!(id, name, "a namespace is damaged and set aside; restore the state from a copy");
        Self { id, name }
    }

    /// Calls that name `name` may mean this one.
    fn error(&self, name: &str) -> ServiceError {
        let message = format!(
            "namespace '{name}' is not there, but one whose stored form is damaged: it may be this one. Restore the state \
             from a copy; every other namespace goes on"
        );
        ServiceError::new(ErrorKind::DataLoss, message).with("namespace_id", self.id.clone())
    }
}

impl Namespaces {
    pub(super) async fn load(executions: &Executions) -> Result<Self, ServiceError> {
        let mut by_name = BTreeMap::new();
        let damaged = executions.damaged_namespaces().await?;
        let mut damaged: Vec<Damaged> =
            damaged.into_iter().map(|found| Damaged::new(found.id, &found.data)).collect();
        for (id, encoded) in executions.namespaces().await? {
            let Ok(mut namespace) = Namespace::decode(&encoded) else {
                damaged.push(Damaged::new(id, &[]));
                continue;
            };
            if namespace.token_key.is_empty() {
                namespace.token_key = TokenKey::fresh();
                executions.put_namespace(&namespace.id, namespace.encode()).await?;
            }
            by_name.insert(namespace.name.clone(), Arc::new(namespace));
        }
        Ok(Self { by_name: RwLock::new(by_name), damaged, writing: tokio::sync::Mutex::new(()) })
    }

    /// Registers the namespaces of the options that are missing.
    pub(super) async fn ensure(
        &self,
        executions: &Executions,
        options: &ServerOptions,
    ) -> Result<(), ServiceError> {
        for name in &options.namespaces {
            if self.find(name).is_none() {
                validate::id("namespace", name)?;
                if let Err(error) = self.check_damage(name) {
                    tracing::error!(%error, "the namespace is not registered");
                    continue;
                }
                self.put(executions, new_namespace(name, options.retention)).await?;
            }
        }
        Ok(())
    }

    /// A name that is not there may be that of a namespace which is damaged: its runs would be lost to a new one.
    fn check_damage(&self, name: &str) -> Result<(), ServiceError> {
        self.damaged.first().map_or(Ok(()), |damaged| Err(damaged.error(name)))
    }

    /// The same for somebody who registers the name by hand, and is believed unless the damaged one seems to have it.
    fn check_registration(&self, name: &str) -> Result<(), ServiceError> {
        let may_be = |damaged: &&Damaged| damaged.name.as_deref().is_none_or(|known| known == name);
        self.damaged.iter().find(may_be).map_or(Ok(()), |damaged| Err(damaged.error(name)))
    }

    fn find(&self, name: &str) -> Option<Arc<Namespace>> {
        self.by_name.read().get(name).cloned()
    }

    async fn put(&self, executions: &Executions, namespace: Namespace) -> Result<(), ServiceError> {
        executions.put_namespace(&namespace.id, namespace.encode()).await?;
        self.by_name.write().insert(namespace.name.clone(), Arc::new(namespace));
        Ok(())
    }
}

fn new_namespace(name: &str, retention: Duration) -> Namespace {
    Namespace {
        id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        retention,
        description: String::new(),
        owner_email: String::new(),
        data: BTreeMap::new(),
        token_key: TokenKey::fresh(),
    }
}

fn not_found(name: &str) -> ServiceError {
    ServiceError::new(
        ErrorKind::NamespaceNotFound { namespace: name.to_owned() },
        format!(
            "Namespace {name} is not found. '{name}' is not registered; start the server with --namespace {name}, or register it: \
             temporal operator namespace create --namespace {name}"
        ),
    )
}

impl Frontend {
    /// The namespace a call names. Errors: INVALID_ARGUMENT without a name, NOT_FOUND if it is not registered.
    pub(super) fn namespace(&self, name: &str) -> Result<Arc<Namespace>, ServiceError> {
        if let Some(namespace) = self.shared.namespaces.find(name) {
            return Ok(namespace);
        }
        validate::id("namespace", name)?;
        self.shared.namespaces.check_damage(name)?;
        Err(not_found(name))
    }

    pub(super) async fn register_namespace(
        &self,
        _: Caller,
        mut request: RegisterNamespaceRequest,
    ) -> Result<RegisterNamespaceResponse, ServiceError> {
        validate::id("namespace", &request.namespace)?;
        let retention = validate::duration(
            "workflow_execution_retention_period",
            request.workflow_execution_retention_period.as_mut(),
        )?;
        check_retention(retention)?;
        if request.is_global_namespace {
            return Err(ServiceError::invalid_argument(
                "is_global_namespace is set; this server has one cluster, register a local namespace",
            ));
        }
        let namespaces = &self.shared.namespaces;
        let _writing = namespaces.writing.lock().await;
        if namespaces.find(&request.namespace).is_some() {
            return Err(ServiceError::new(
                ErrorKind::NamespaceAlreadyExists,
                format!("Namespace {:?} already exists; use it or choose another name", request.namespace),
            ));
        }
        namespaces.check_registration(&request.namespace)?;
        let mut namespace = new_namespace(&request.namespace, retention);
        namespace.description = request.description;
        namespace.owner_email = request.owner_email;
        namespace.data = request.data;
        namespaces.put(self.executions(), namespace).await?;
        Ok(RegisterNamespaceResponse {})
    }

    pub(super) async fn describe_namespace(
        &self,
        _: Caller,
        request: DescribeNamespaceRequest,
    ) -> Result<DescribeNamespaceResponse, ServiceError> {
        if !request.namespace.is_empty() || request.id.is_empty() {
            return Ok(describe(&*self.namespace(&request.namespace)?));
        }
        let by_name = self.shared.namespaces.by_name.read();
        let found = by_name.values().find(|namespace| namespace.id == request.id);
        found.map(|namespace| describe(namespace)).ok_or_else(|| not_found(&request.id))
    }

    pub(super) async fn list_namespaces(
        &self,
        _: Caller,
        mut request: ListNamespacesRequest,
    ) -> Result<ListNamespacesResponse, ServiceError> {
        validate::page_size(&mut request.page_size, MAX_PAGE);
        let after = page_token::open(LIST, &request.next_page_token)?.unwrap_or_default();
        let after = std::str::from_utf8(&after).map_err(|_| page_token::unknown())?;
        let by_name = self.shared.namespaces.by_name.read();
        let mut rest =
            by_name.range::<str, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
        let page: Vec<_> = rest
            .by_ref()
            .take(request.page_size as usize)
            .map(|(_, namespace)| describe(namespace))
            .collect();
        let last = page.last().and_then(|last| last.namespace_info.as_ref()).map(|info| info.name.clone());
        let next_page_token = match last {
            Some(last) if rest.next().is_some() => page_token::seal(LIST, last),
            _ => bytes::Bytes::new(),
        };
        Ok(ListNamespacesResponse { namespaces: page, next_page_token })
    }

    pub(super) async fn update_namespace(
        &self,
        _: Caller,
        request: UpdateNamespaceRequest,
    ) -> Result<UpdateNamespaceResponse, ServiceError> {
        let namespaces = &self.shared.namespaces;
        let _writing = namespaces.writing.lock().await;
        let mut namespace = (*self.namespace(&request.namespace)?).clone();
        if let Some(info) = request.update_info {
            if !info.description.is_empty() {
                namespace.description = info.description;
            }
            if !info.owner_email.is_empty() {
                namespace.owner_email = info.owner_email;
            }
            namespace.data.extend(info.data);
        }
        if let Some(mut ttl) = request.config.and_then(|config| config.workflow_execution_retention_ttl) {
            namespace.retention = validate::duration("workflow_execution_retention_ttl", Some(&mut ttl))?;
            check_retention(namespace.retention)?;
        }
        let described = describe(&namespace);
        namespaces.put(self.executions(), namespace).await?;
        Ok(UpdateNamespaceResponse {
            namespace_info: described.namespace_info,
            config: described.config,
            replication_config: described.replication_config,
            failover_version: described.failover_version,
            is_global_namespace: described.is_global_namespace,
        })
    }
}

fn check_retention(retention: Duration) -> Result<(), ServiceError> {
    if retention < SHORTEST_RETENTION {
        return Err(ServiceError::invalid_argument(format!(
            "the retention is {retention:?}; closed runs are kept for at least one hour, send 3600 s or more"
        )));
    }
    Ok(())
}

fn describe(stored: &Namespace) -> DescribeNamespaceResponse {
    DescribeNamespaceResponse {
        namespace_info: Some(namespace::NamespaceInfo {
            name: stored.name.clone(),
            state: NamespaceState::Registered as i32,
            description: stored.description.clone(),
            owner_email: stored.owner_email.clone(),
            data: stored.data.clone(),
            id: stored.id.clone(),
            // True is what works; what is absent here is not offered yet.
            capabilities: Some(namespace::namespace_info::Capabilities {
                eager_workflow_start: true,
                sync_update: true,
                async_update: true,
                worker_heartbeats: false,
                worker_poll_complete_on_shutdown: true,
                ..Default::default()
            }),
            limits: Some(namespace::namespace_info::Limits {
                blob_size_limit_error: validate::MAX_BLOB as i64,
                memo_size_limit_error: validate::MAX_MEMO as i64,
                workflow_task_completion_size_limit_error: super::service::MAX_REQUEST as i64,
            }),
            supports_schedules: false,
        }),
        config: Some(namespace::NamespaceConfig {
            workflow_execution_retention_ttl: prost_types::Duration::try_from(stored.retention).ok(),
            history_archival_state: ArchivalState::Disabled as i32,
            visibility_archival_state: ArchivalState::Disabled as i32,
            bad_binaries: Some(namespace::BadBinaries::default()),
            ..Default::default()
        }),
        replication_config: Some(NamespaceReplicationConfig {
            active_cluster_name: CLUSTER_NAME.to_owned(),
            clusters: vec![ClusterReplicationConfig {
                cluster_name: CLUSTER_NAME.to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}
