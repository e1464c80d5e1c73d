//! A namespace as the rest of the server sees it, and its stored form.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use durably_proto::temporal::api::{
    enums::v1::NamespaceState, namespace::v1 as namespace, workflowservice::v1::DescribeNamespaceResponse,
};
use prost::Message as _;

/// Isolates workflow ids, task queues and listings from those of other namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Seals the tokens of this namespace's tasks. Empty in what a release without such keys has stored.
    pub token_key: TokenKey,
}

/// A secret: it is stored, and shown nowhere.
#[derive(Clone, Default, PartialEq)]
pub struct TokenKey(Bytes);

impl TokenKey {
    pub fn fresh() -> Self {
        // The generator is seeded by the operating system and made for secrets.
        Self(Bytes::copy_from_slice(&rand::random::<[u8; 32]>()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey")
    }
}

/// What a stored namespace has beside the API's fields, under a number far from theirs.
#[derive(Clone, PartialEq, prost::Message)]
struct Private {
    #[prost(bytes = "bytes", tag = "100001")]
    token_key: Bytes,
}

impl Namespace {
    /// The bytes a store keeps: an encoded `DescribeNamespaceResponse`, so that unknown fields of later versions
    /// have a place and no second schema exists.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoded = DescribeNamespaceResponse {
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
        .encode_to_vec();
        encoded.extend(Private { token_key: self.token_key.0.clone() }.encode_to_vec());
        encoded
    }

    /// Reads what [`Namespace::encode`] wrote. Errors mean damaged state.
    pub fn decode(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        let stored = DescribeNamespaceResponse::decode(bytes)?;
        let private = Private::decode(bytes)?;
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
            token_key: TokenKey(private.token_key),
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
            token_key: TokenKey::fresh(),
        };
        assert_eq!(Namespace::decode(&namespace.encode()), Ok(namespace));
    }
}
