//! What a client learns about the server before it does anything else.

use std::collections::BTreeMap;

use durably_proto::temporal::api::{
    enums::v1::IndexedValueType, operatorservice::v1::*, version::v1 as version, workflowservice::v1::*,
};

use super::{Caller, Frontend};
use crate::{
    error::ServiceError,
    options::State,
    store::{Field, Kind},
};

/// There is one cluster, called as Temporal calls a lone one, because tools print and compare the name.
pub(super) const CLUSTER_NAME: &str = "active";

impl Frontend {
    /// Capabilities are true exactly where the behaviour exists: SDKs change what they send by them.
    pub(super) async fn get_system_info(
        &self,
        _: Caller,
        _: GetSystemInfoRequest,
    ) -> Result<GetSystemInfoResponse, ServiceError> {
        Ok(GetSystemInfoResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            capabilities: Some(get_system_info_response::Capabilities {
                signal_and_query_header: true,
                internal_error_differentiation: true,
                activity_failure_include_heartbeat: true,
                supports_schedules: false,
                encoded_failure_attributes: true,
                build_id_based_versioning: false,
                upsert_memo: true,
                eager_workflow_start: true,
                sdk_metadata: true,
                count_group_by_execution_status: true,
                nexus: false,
                server_scaled_deployments: false,
                server_scaled_provider_cloud_run: false,
            }),
        })
    }

    pub(super) async fn get_cluster_info(
        &self,
        _: Caller,
        _: GetClusterInfoRequest,
    ) -> Result<GetClusterInfoResponse, ServiceError> {
        let store = match self.shared.options.state {
            State::Memory => "memory",
            State::File(_) => "sqlite",
        };
        Ok(GetClusterInfoResponse {
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster_id: CLUSTER_NAME.to_owned(),
            cluster_name: CLUSTER_NAME.to_owned(),
            version_info: Some(version::VersionInfo {
                current: Some(version::ReleaseInfo {
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            history_shard_count: 1,
            persistence_store: store.to_owned(),
            visibility_store: store.to_owned(),
            ..Default::default()
        })
    }

    pub(super) async fn get_search_attributes(
        &self,
        _: Caller,
        _: GetSearchAttributesRequest,
    ) -> Result<GetSearchAttributesResponse, ServiceError> {
        Ok(GetSearchAttributesResponse { keys: attributes() })
    }

    pub(super) async fn list_search_attributes(
        &self,
        _: Caller,
        request: ListSearchAttributesRequest,
    ) -> Result<ListSearchAttributesResponse, ServiceError> {
        if !request.namespace.is_empty() {
            self.namespace(&request.namespace)?;
        }
        Ok(ListSearchAttributesResponse { system_attributes: attributes(), ..Default::default() })
    }
}

/// The names that list filters understand, with their types.
fn attributes() -> BTreeMap<String, i32> {
    let kind = |kind| match kind {
        Kind::Keyword | Kind::Status => IndexedValueType::Keyword,
        Kind::KeywordList => IndexedValueType::KeywordList,
        Kind::Int => IndexedValueType::Int,
        Kind::Double => IndexedValueType::Double,
        Kind::Bool => IndexedValueType::Bool,
        Kind::Time => IndexedValueType::Datetime,
    };
    Field::ALL.into_iter().map(|field| (field.name.into_owned(), kind(field.kind) as i32)).collect()
}
