//! From `ConnectOptions` to a `Client`: defaults, metadata, the first question to the server.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use durably_proto::{
    durably::core::v1::{CallError, ConnectOptions},
    temporal::api::workflowservice::v1::{
        GetSystemInfoRequest, GetSystemInfoResponse, get_system_info_response::Capabilities,
    },
};
use tonic::{
    Code,
    metadata::{MetadataKey, MetadataMap},
};

use super::{
    CALL_TIMEOUT, Client, Inner, Scope, error::call_error, methods, retry::RetryPolicy, skipping::Skipping,
};
use crate::transport::{Transport, remote};

pub(super) async fn connect(options: ConnectOptions) -> Result<Client, CallError> {
    match options.target.strip_prefix("embedded:") {
        None => {
            let transport = remote::connect(&options).await?;
            over(transport, options).await
        }
        Some(path) => {
            #[cfg(feature = "embedded")]
            return open(embedded(path, &options).await?, &options).await;
            #[cfg(not(feature = "embedded"))]
            Err(call_error(
                Code::Unimplemented,
                format!(
                    "this build can't open `embedded:{path}`, since it has no embedded server: connect to HOST:PORT, \
                     or build durably-core with the feature `embedded`"
                ),
            ))
        }
    }
}

pub(super) async fn over(transport: Transport, options: ConnectOptions) -> Result<Client, CallError> {
    open(inner(&options, transport), &options).await
}

async fn open(inner: Inner, options: &ConnectOptions) -> Result<Client, CallError> {
    let scope = Scope { namespace: namespace(options).to_owned(), metadata: metadata(options)? };
    let client = Client { inner: Arc::new(inner), scope: Arc::new(scope) };
    if !options.lazy {
        client.capabilities().await?;
    }
    Ok(client)
}

/// A client's scope moved to another namespace.
pub(super) fn scope_in(namespace: &str, scope: &Scope) -> Result<Scope, CallError> {
    let mut metadata = scope.metadata.clone();
    let value =
        namespace.parse().map_err(|_| invalid(format!("namespace `{namespace}` must be printable ASCII")))?;
    metadata.insert("temporal-namespace", value);
    Ok(Scope { namespace: namespace.to_owned(), metadata })
}

#[cfg(feature = "embedded")]
async fn embedded(path: &str, options: &ConnectOptions) -> Result<Inner, CallError> {
    use crate::transport::embedded::Embedded;

    let embedded = Embedded::open(path, options).await?;
    let mut inner = inner(options, embedded.transport());
    inner.embedded = Some(embedded);
    Ok(inner)
}

fn inner(options: &ConnectOptions, transport: Transport) -> Inner {
    let skips_time = options.embedded.as_ref().is_some_and(|embedded| embedded.time_skipping);
    Inner {
        transport: parking_lot::RwLock::new(Some(transport)),
        closed: tokio::sync::watch::Sender::new(false),
        identity: if options.identity.is_empty() { default_identity() } else { options.identity.clone() },
        client_name: options.client_name.clone(),
        client_version: options.client_version.clone(),
        retry: RetryPolicy::new(options.retry.as_ref()),
        runtime: tokio::runtime::Handle::current(),
        capabilities: tokio::sync::OnceCell::new(),
        steps: Arc::default(),
        observer: Arc::default(),
        skipping: Skipping::new(skips_time),
        target: options.target.clone(),
        #[cfg(feature = "embedded")]
        embedded: None,
    }
}

fn namespace(options: &ConnectOptions) -> &str {
    if options.namespace.is_empty() { "default" } else { &options.namespace }
}

fn metadata(options: &ConnectOptions) -> Result<MetadataMap, CallError> {
    let mut metadata = MetadataMap::new();
    let mut add = |key: &'static str, value: &str| -> Result<(), CallError> {
        if !value.is_empty() {
            // The value may be a secret: only the key is named.
            let value = value.parse().map_err(|_| invalid(format!("`{key}` must be printable ASCII")))?;
            metadata.insert(key, value);
        }
        Ok(())
    };
    add("client-name", &options.client_name)?;
    add("client-version", &options.client_version)?;
    add("temporal-namespace", namespace(options))?;
    if !options.api_key.is_empty() {
        add("authorization", &format!("Bearer {}", options.api_key))?;
    }
    let mut metadata = Cow::Owned(metadata);
    add_metadata(&mut metadata, &options.metadata)?;
    Ok(metadata.into_owned())
}

/// Adds the SDK's own metadata. Values are never part of an error: they may be secrets.
pub(super) fn add_metadata(
    metadata: &mut Cow<'_, MetadataMap>,
    extra: &BTreeMap<String, String>,
) -> Result<(), CallError> {
    for (key, value) in extra {
        let bad = |what| invalid(format!("metadata `{key}`: {what}"));
        let name = MetadataKey::from_bytes(key.as_bytes())
            .map_err(|_| bad("the key must be lower-case ASCII and must not end in -bin"))?;
        let value = value.parse().map_err(|_| bad("the value must be printable ASCII"))?;
        metadata.to_mut().insert(name, value);
    }
    Ok(())
}

fn invalid(message: String) -> CallError {
    call_error(Code::InvalidArgument, message)
}

/// GetSystemInfo; a server that doesn't know the method is an old one without capabilities.
pub(super) async fn ask_capabilities(client: &Client) -> Result<Capabilities, CallError> {
    let answer: Result<GetSystemInfoResponse, CallError> = client
        .rpc(methods::GET_SYSTEM_INFO, &GetSystemInfoRequest {}, CALL_TIMEOUT, Some(client.retry_policy()))
        .await;
    match answer {
        Ok(info) => Ok(info.capabilities.unwrap_or_default()),
        Err(error) if error.code == Code::Unimplemented as i32 => Ok(Capabilities::default()),
        Err(error) => Err(error),
    }
}

fn default_identity() -> String {
    format!("{}@{}", std::process::id(), host_name())
}

/// The standard library doesn't tell the host's name, so the places where systems keep it are tried in turn.
fn host_name() -> String {
    let file = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let variable = || std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).ok();
    let command = || {
        let output = std::process::Command::new("hostname").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    [&file as &dyn Fn() -> Option<String>, &variable, &command]
        .iter()
        .filter_map(|source| source())
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "unknown".to_owned())
}
