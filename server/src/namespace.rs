//! A namespace as the rest of the server sees it, and its stored form.

use std::{collections::BTreeMap, time::Duration};

use durably_proto::temporal::api::{
    enums::v1::NamespaceState, namespace::v1 as namespace, workflowservice::v1::DescribeNamespaceResponse,
};
use prost::Message as _;

/// Isolates workflow ids, task queues and listings from those of other namespaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Namespace {
    /// Stable id (a UUID); state is stored under it.
    pub id: String,
    /// What clients call it. Unique.
    pub name: String,
    /// How long a closed run stays readable.
    pub retention: Duration,
    pub description: String,
    pub owner_email: String,
    /// Free key/value pairs of the operator.
    pub data: BTreeMap<String, String>,
}

impl Namespace {
    /// The bytes a store keeps: an encoded `DescribeNamespaceResponse`, so that unknown fields of later versions
    /// have a place and no second schema exists.
    pub fn encode(&self) -> Vec<u8> {
        DescribeNamespaceResponse {
            namespace_info: Some(namespace::NamespaceInfo {
                name: self.name.clone(),
                state: NamespaceState::Registered as i32,
                description: self.description.clone(),
                owner_email: self.owner_email.clone(),
                data: self.data.clone(),
                id: self.id.clone(),
                ..Default::default()
            }),
            config: Some(namespace::NamespaceConfig {
                workflow_execution_retention_ttl: prost_types::Duration::try_from(self.retention).ok(),
                ..Default::default()
            }),
            ..Default::default()
        }
        .encode_to_vec()
    }

    /// Reads what [`Namespace::encode`] wrote. Errors mean damaged state.
    pub fn decode(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let stored = DescribeNamespaceResponse::decode(bytes)?;
        let info = stored.namespace_info.unwrap_or_default();
        let retention = stored
            .config
            .and_then(|config| config.workflow_execution_retention_ttl)
            .and_then(|ttl| Duration::try_from(ttl).ok())
            .unwrap_or_default();
        Ok(Self {
            id: info.id,
            name: info.name,
            retention,
            description: info.description,
            owner_email: info.owner_email,
            data: info.data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_reads_back() {
        let namespace = Namespace {
            id: "6f1c".into(),
            name: "orders".into(),
            retention: Duration::from_hours(72),
            description: "what for".into(),
            owner_email: "a@example.org".into(),
            data: BTreeMap::from([("team".into(), "x".into())]),
        };
        assert_eq!(Namespace::decode(&namespace.encode()), Ok(namespace));
    }
}
