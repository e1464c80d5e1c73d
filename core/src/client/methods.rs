//! What the core must know about a method to carry a request whose type it doesn't link: its path, the numbers of the
//! fields that every request shares, and whether it is a long poll.
//!
//! The table is read from the descriptors once; a call costs one scan over the request's top-level tags.

use std::{collections::HashMap, sync::LazyLock};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use prost::{
    DecodeError, Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field},
};
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};

/// The service of a `Call` that names none.
pub(crate) const WORKFLOW_SERVICE: &str = "temporal.api.workflowservice.v1.WorkflowService";
/// What the core does itself for an embedded server.
pub(crate) const EMBEDDED_SERVICE: &str = "durably.core.v1.Embedded";
/// What waits though its name doesn't say so.
const WAITS_FOR_UPDATE: &[&str] = &["UpdateWorkflowExecution", "ExecuteMultiOperation"];
const HEALTH_SERVICE: &str = "grpc.health.v1.Health";

/// Paths of the calls that the core makes by itself.
macro_rules! own_calls {
    ($($path:ident = $method:literal;)*) => {
        $(pub(crate) const $path: &str =
            concat!("/temporal.api.workflowservice.v1.WorkflowService/", $method);)*
        #[cfg(test)]
        const OWN_CALLS: &[&str] = &[$($method),*];
    };
}

own_calls! {
    DESCRIBE_NAMESPACE = "DescribeNamespace";
    DESCRIBE_WORKFLOW_EXECUTION = "DescribeWorkflowExecution";
    EXECUTE_MULTI_OPERATION = "ExecuteMultiOperation";
    GET_SYSTEM_INFO = "GetSystemInfo";
    GET_WORKFLOW_EXECUTION_HISTORY = "GetWorkflowExecutionHistory";
    POLL_ACTIVITY_TASK_QUEUE = "PollActivityTaskQueue";
    POLL_WORKFLOW_TASK_QUEUE = "PollWorkflowTaskQueue";
    POLL_WORKFLOW_EXECUTION_UPDATE = "PollWorkflowExecutionUpdate";
    RECORD_ACTIVITY_TASK_HEARTBEAT = "RecordActivityTaskHeartbeat";
    RESPOND_ACTIVITY_TASK_CANCELED = "RespondActivityTaskCanceled";
    RESPOND_ACTIVITY_TASK_COMPLETED = "RespondActivityTaskCompleted";
    RESPOND_ACTIVITY_TASK_FAILED = "RespondActivityTaskFailed";
    RESPOND_QUERY_TASK_COMPLETED = "RespondQueryTaskCompleted";
    RESPOND_WORKFLOW_TASK_COMPLETED = "RespondWorkflowTaskCompleted";
    RESPOND_WORKFLOW_TASK_FAILED = "RespondWorkflowTaskFailed";
    SHUTDOWN_WORKER = "ShutdownWorker";
    UPDATE_WORKFLOW_EXECUTION = "UpdateWorkflowExecution";
}

/// Requests whose `namespace` says what they are about, not where they belong: an empty one means something else.
const NAMESPACE_IS_SUBJECT: &[&str] =
    &["DescribeNamespace", "RegisterNamespace", "UpdateNamespace", "DeprecateNamespace", "DeleteNamespace"];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Method {
    pub(crate) path: PathAndQuery,
    /// Field numbers, 0 if the request has no such string field.
    namespace: u32,
    identity: u32,
    request_id: u32,
    long_poll: LongPoll,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum LongPoll {
    Never,
    Always,
    /// If the boolean field of this number is true.
    If(u32),
}

/// What the scan of a request found, and the request with its empty shared fields filled.
pub(crate) struct Filled {
    pub(crate) request: Bytes,
    pub(crate) is_long_poll: bool,
    /// The namespace that the request names, if it isn't the client's.
    pub(crate) namespace: Option<String>,
}

type Table = HashMap<String, HashMap<String, Method>>;

static METHODS: LazyLock<Table> = LazyLock::new(table);

/// The method of Temporal's public API of that name, if there is one.
pub(crate) fn find(service: &str, method: &str) -> Option<&'static Method> {
    let service = if service.is_empty() { WORKFLOW_SERVICE } else { service };
    METHODS.get(service)?.get(method)
}

fn table() -> Table {
    // The bytes are compiled in, and the tests read them.
    let set = FileDescriptorSet::decode(durably_proto::DESCRIPTORS).expect("the descriptors are well-formed");
    let messages: HashMap<String, &DescriptorProto> = set
        .file
        .iter()
        .flat_map(|f| f.message_type.iter().map(|m| (format!(".{}.{}", f.package(), m.name()), m)))
        .collect();
    let mut table = Table::new();
    for file in &set.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let methods = service.method.iter().map(|m| {
                let method = describe(&name, m.name(), messages.get(m.input_type()).copied());
                (m.name().to_owned(), method)
            });
            table.insert(name.clone(), methods.collect());
        }
    }
    // Health is not part of Temporal's definitions, and every Temporal server answers it.
    let check = describe(HEALTH_SERVICE, "Check", None);
    table.insert(HEALTH_SERVICE.to_owned(), HashMap::from([("Check".to_owned(), check)]));
    table
}

fn describe(service: &str, method: &str, request: Option<&DescriptorProto>) -> Method {
    let field = |name: &str, kind: Type| {
        let found = request.and_then(|r| r.field.iter().find(|f| f.name() == name && f.r#type() == kind));
        found.map_or(0, |f| f.number() as u32)
    };
    let wait = field("wait_new_event", Type::Bool);
    Method {
        path: PathAndQuery::try_from(format!("/{service}/{method}"))
            .expect("names of methods are ASCII words"),
        namespace: if NAMESPACE_IS_SUBJECT.contains(&method) { 0 } else { field("namespace", Type::String) },
        identity: field("identity", Type::String),
        request_id: field("request_id", Type::String),
        long_poll: match wait {
            0 if method.starts_with("Poll") || WAITS_FOR_UPDATE.contains(&method) => LongPoll::Always,
            0 => LongPoll::Never,
            number => LongPoll::If(number),
        },
    }
}

impl Method {
    /// Appends the shared fields that `request` leaves empty. An empty string on the wire is overridden too, since
    /// the last occurrence of a field counts.
    pub(crate) fn fill(
        &self,
        request: Bytes,
        namespace: &str,
        identity: &str,
        request_id: impl FnOnce() -> String,
    ) -> Result<Filled, DecodeError> {
        let mut has_identity = self.identity == 0;
        let mut has_request_id = self.request_id == 0;
        let mut is_long_poll = self.long_poll == LongPoll::Always;
        let mut own_namespace = None;
        let mut rest = request.clone();
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest)?;
            if wire_type == WireType::LengthDelimited {
                let length = decode_varint(&mut rest)?;
                if length > rest.len() as u64 {
                    return Err(truncated());
                }
                let value = rest.split_to(length as usize);
                if tag == self.namespace && !value.is_empty() {
                    own_namespace = Some(value);
                } else if tag == self.identity {
                    has_identity = !value.is_empty();
                } else if tag == self.request_id {
                    has_request_id = !value.is_empty();
                }
            } else if LongPoll::If(tag) == self.long_poll && wire_type == WireType::Varint {
                is_long_poll = decode_varint(&mut rest)? != 0;
            } else {
                skip_field(wire_type, tag, &mut rest, DecodeContext::default())?;
            }
        }
        let mut missing = BytesMut::new();
        if self.namespace != 0 && own_namespace.is_none() {
            put_string(&mut missing, self.namespace, namespace);
        }
        if !has_identity {
            put_string(&mut missing, self.identity, identity);
        }
        if !has_request_id {
            put_string(&mut missing, self.request_id, &request_id());
        }
        Ok(Filled {
            request: if missing.is_empty() { request } else { join(&request, &missing) },
            is_long_poll,
            namespace: own_namespace.and_then(|n| String::from_utf8(n.to_vec()).ok()),
        })
    }
}

fn join(request: &[u8], missing: &[u8]) -> Bytes {
    let mut joined = BytesMut::with_capacity(request.len() + missing.len());
    joined.put_slice(request);
    joined.put_slice(missing);
    joined.freeze()
}

fn put_string(out: &mut BytesMut, tag: u32, value: &str) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.put_slice(value.as_bytes());
}

/// prost's error type can't be made directly; decoding a cut-off message gives the right one.
fn truncated() -> DecodeError {
    String::decode(&[0x0a, 0x01][..]).expect_err("one byte is announced and none is there")
}

#[cfg(test)]
mod tests {
    use durably_proto::temporal::api::workflowservice::v1::*;

    use super::*;

    fn fill(method: &str, request: &impl prost::Message) -> Filled {
        let request = request.encode_to_vec().into();
        find("", method).unwrap().fill(request, "orders", "me", || "id-1".into()).unwrap()
    }

    #[test]
    fn empty_shared_fields_are_filled() {
        let request = StartWorkflowExecutionRequest { workflow_id: "w".into(), ..Default::default() };
        let filled = fill("StartWorkflowExecution", &request);
        let sent = StartWorkflowExecutionRequest::decode(filled.request).unwrap();
        let expected = StartWorkflowExecutionRequest {
            namespace: "orders".into(),
            identity: "me".into(),
            request_id: "id-1".into(),
            ..request
        };
        assert_eq!(sent, expected);
        assert!(!filled.is_long_poll);
        assert_eq!(filled.namespace, None);
    }

    #[test]
    fn given_shared_fields_stay() {
        let request = SignalWorkflowExecutionRequest {
            namespace: "other".into(),
            identity: "you".into(),
            request_id: "id-9".into(),
            ..Default::default()
        };
        let filled = fill("SignalWorkflowExecution", &request);
        assert_eq!(SignalWorkflowExecutionRequest::decode(filled.request).unwrap(), request);
        assert_eq!(filled.namespace.as_deref(), Some("other"));
    }

    #[test]
    fn a_namespace_that_is_the_subject_stays_empty() {
        let request = DescribeNamespaceRequest { id: "uuid".into(), ..Default::default() };
        let filled = fill("DescribeNamespace", &request);
        assert_eq!(DescribeNamespaceRequest::decode(filled.request).unwrap(), request);
    }

    #[test]
    fn the_cores_own_calls_exist() {
        for method in OWN_CALLS {
            assert!(find("", method).is_some(), "{method}");
        }
    }

    #[test]
    fn long_polls_are_told_apart() {
        let history =
            |wait_new_event| GetWorkflowExecutionHistoryRequest { wait_new_event, ..Default::default() };
        assert!(fill("GetWorkflowExecutionHistory", &history(true)).is_long_poll);
        assert!(!fill("GetWorkflowExecutionHistory", &history(false)).is_long_poll);
        assert!(fill("PollActivityTaskQueue", &PollActivityTaskQueueRequest::default()).is_long_poll);
    }

    #[test]
    fn a_malformed_request_is_an_error() {
        let method = find("", "StartWorkflowExecution").unwrap();
        for bytes in [&b"\x0a\x05ab"[..], b"\x0a", b"\x08", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let filled = method.fill(Bytes::from_static(bytes), "n", "i", String::new);
            assert!(filled.is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn services_and_methods_are_found_by_name() {
        let path = |service, method| find(service, method).map(|m| m.path.as_str());
        assert_eq!(path("", "Nonsense"), None);
        assert_eq!(path("nonsense.Service", "Check"), None);
        assert_eq!(path(HEALTH_SERVICE, "Check"), Some("/grpc.health.v1.Health/Check"));
        assert!(path("temporal.api.operatorservice.v1.OperatorService", "ListSearchAttributes").is_some());
        assert!(path("temporal.api.testservice.v1.TestService", "GetCurrentTime").is_some());
    }
}
