//! The door for bridges that carry bytes: encoded `durably.core.v1` messages in, deliveries out.
//!
//! A host language has one place where it notices things: an event loop, a goroutine that waits. Everything that the
//! core has to say gathers in the port's queue; `wake` is called when the queue turns non-empty, and the host takes all
//! of it in one [`Port::drain`]. So a workflow task costs one drain and one request, and nothing polls across a bridge.
//! Every operation returns at once; its result is a [`Delivery`] to the number that the host gave it.

use std::sync::Arc;

use bytes::Bytes;
use durably_proto::{
    depth,
    durably::core::v1::{WorkerEvent, call_result::Result as Answer},
};
use prost::{Message, Name};
use tokio::runtime::Handle;
use tonic::Code;

use crate::{CallError, client::error::call_error, mailbox::Mailbox};

/// Something for the host, addressed by the number that it chose.
#[derive(Debug)]
pub struct Delivery {
    pub to: u64,
    pub content: Content,
}

#[derive(Debug)]
pub enum Content {
    /// The RPC's response, a `WorkflowResult` or a `WorkerEvent`, encoded.
    Message(Bytes),
    Client(Client),
    /// A client is disconnected.
    Nothing,
    Error(CallError),
}

/// A queue of deliveries with the means to fill it. Cheap to clone.
#[derive(Clone)]
pub struct Port {
    handle: Handle,
    mailbox: Arc<Mailbox<Delivery>>,
}

/// A connection, as bridges keep it: it may be dropped on any thread, in or out of the runtime.
#[derive(Clone)]
pub struct Client {
    /// Taken when dropped: an embedded server shuts down with its last client, and needs the runtime around it.
    client: Option<crate::Client>,
    handle: Handle,
}

impl Client {
    fn core(&self) -> Result<&crate::Client, CallError> {
        self.client.as_ref().ok_or_else(|| call_error(Code::FailedPrecondition, "the client is closed"))
    }

    /// The namespace of this client's calls and workers.
    pub fn namespace(&self) -> &str {
        self.client.as_ref().map_or("", crate::Client::namespace)
    }

    /// The identity that histories show.
    pub fn identity(&self) -> &str {
        self.client.as_ref().map_or("", crate::Client::identity)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.handle.spawn(async move { drop(client) });
        }
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("namespace", &self.namespace()).finish_non_exhaustive()
    }
}

/// A worker, with the client that it works for. Dropped before its `ShutDown` event, it ends without waiting for answers.
pub struct Worker {
    worker: crate::Worker,
    _client: Client,
}

/// An operation under way. Dropping it lets the operation go on.
#[derive(Debug)]
pub struct Running {
    task: tokio::task::AbortHandle,
}

impl Running {
    /// Gives the operation up; nothing is delivered any more, unless it was already.
    pub fn abort(&self) {
        self.task.abort();
    }
}

impl Port {
    /// `wake` is called, on any thread, when there is something to drain after there was nothing. It must not block, and
    /// may drain.
    pub fn new(handle: Handle, wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self { handle, mailbox: Arc::new(Mailbox::new(wake)) }
    }

    /// Takes all that has gathered, oldest first; never waits.
    pub fn drain(&self) -> Vec<Delivery> {
        self.mailbox.drain()
    }

    /// Drops what is queued and everything that comes later.
    pub fn close(&self) {
        self.mailbox.close();
    }

    /// Connects by `ConnectOptions`; delivers a `Client`.
    pub fn connect(&self, to: u64, options: Bytes) -> Running {
        let handle = self.handle.clone();
        self.spawn(to, async move {
            let client = crate::Client::connect(decode("ConnectOptions", options)?).await?;
            Ok(Content::Client(Client { client: Some(client), handle }))
        })
    }

    /// Carries out a `Call`; delivers the response message of the method.
    pub fn call(&self, client: &Client, to: u64, call: Bytes) -> Running {
        let call = client.core().and_then(|core| Ok(core.call(decode("Call", call)?)));
        self.spawn(to, async move {
            match call?.await.result {
                Some(Answer::Response(bytes)) => Ok(Content::Message(bytes)),
                Some(Answer::Error(error)) => Err(error),
                None => Ok(Content::Nothing),
            }
        })
    }

    /// Waits for a workflow's end by `AwaitWorkflow`; delivers a `WorkflowResult`.
    pub fn await_workflow(&self, client: &Client, to: u64, request: Bytes) -> Running {
        let awaited =
            client.core().and_then(|core| Ok(core.await_workflow(decode("AwaitWorkflow", request)?)));
        self.spawn(to, async move { Ok(Content::Message(awaited?.await?.encode_to_vec().into())) })
    }

    /// Ends the connection for all its users; delivers nothing when an embedded server has everything on disk.
    pub fn disconnect(&self, client: &Client, to: u64) -> Running {
        let client = client.clone();
        self.spawn(to, async move {
            client.core()?.close().await;
            Ok(Content::Nothing)
        })
    }

    /// Starts a worker by `WorkerOptions`; its `WorkerEvent`s are delivered to `to`. Returns at once, also with what is
    /// wrong with the options.
    pub fn start_worker(&self, client: &Client, to: u64, options: Bytes) -> Result<Worker, CallError> {
        let options = decode("WorkerOptions", options)?;
        let mailbox = Arc::clone(&self.mailbox);
        let events = move |event: WorkerEvent| {
            let content = Content::Message(event.encode_to_vec().into());
            mailbox.push(Delivery { to, content });
        };
        let worker = crate::Worker::start(client.core()?, options, Arc::new(events))?;
        Ok(Worker { worker, _client: client.clone() })
    }

    /// Passes a `WorkerRequest` on; never blocks. The error says what is wrong with the bytes.
    pub fn request(&self, worker: &Worker, request: Bytes) -> Result<(), CallError> {
        worker.worker.request(decode("WorkerRequest", request)?);
        Ok(())
    }

    fn spawn<F>(&self, to: u64, work: F) -> Running
    where
        F: Future<Output = Result<Content, CallError>> + Send + 'static,
    {
        let mailbox = Arc::clone(&self.mailbox);
        let task = self.handle.spawn(async move {
            let content = work.await.unwrap_or_else(Content::Error);
            mailbox.push(Delivery { to, content });
        });
        Running { task: task.abort_handle() }
    }
}

fn decode<M: Message + Name + Default>(name: &str, bytes: Bytes) -> Result<M, CallError> {
    depth::decode(bytes).map_err(|error| {
        let message = format!("the bytes are not a durably.core.v1.{name}: {error}");
        call_error(Code::InvalidArgument, message)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use durably_proto::durably::core::v1::{Call, ConnectOptions};
    use tokio::sync::Notify;

    use super::*;

    struct Host {
        port: Port,
        woken: Arc<Notify>,
        wakes: Arc<AtomicUsize>,
    }

    impl Host {
        fn new() -> Self {
            let woken = Arc::new(Notify::new());
            let wakes = Arc::new(AtomicUsize::new(0));
            let (notify, count) = (Arc::clone(&woken), Arc::clone(&wakes));
            let port = Port::new(Handle::current(), move || {
                count.fetch_add(1, Ordering::Relaxed);
                notify.notify_one();
            });
            Self { port, woken, wakes }
        }

        async fn next(&self) -> Vec<Delivery> {
            self.woken.notified().await;
            self.port.drain()
        }

        async fn client(&self) -> Client {
            let options =
                ConnectOptions { target: "127.0.0.1:9".into(), lazy: true, ..ConnectOptions::default() };
            self.port.connect(1, options.encode_to_vec().into());
            match self.next().await.remove(0) {
                Delivery { to: 1, content: Content::Client(client) } => client,
                other => panic!("{other:?}"),
            }
        }
    }

    fn malformed() -> Bytes {
        Bytes::from_static(&[0xff, 0xff])
    }

    fn error_of(delivery: &Delivery) -> &CallError {
        match &delivery.content {
            Content::Error(error) => error,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn malformed_bytes_are_an_error_that_says_what_they_should_have_been() {
        let host = Host::new();
        let client = host.client().await;
        host.port.call(&client, 7, malformed());
        let deliveries = host.next().await;
        let error = error_of(&deliveries[0]);
        assert_eq!((deliveries[0].to, error.code), (7, Code::InvalidArgument as i32));
        assert!(error.message.contains("durably.core.v1.Call:"), "{}", error.message);
        let error = host.port.start_worker(&client, 8, malformed()).err().expect("malformed options");
        assert!(error.message.contains("WorkerOptions"), "{}", error.message);
    }

    #[tokio::test]
    async fn the_host_is_woken_once_for_all_that_gathers() {
        let host = Host::new();
        host.port.connect(1, malformed());
        host.port.connect(2, malformed());
        host.woken.notified().await;
        while host.port.mailbox.len() < 2 {
            tokio::task::yield_now().await;
        }
        let to: Vec<u64> = host.port.drain().iter().map(|delivery| delivery.to).collect();
        assert_eq!(to, [1, 2]);
        assert_eq!(host.wakes.load(Ordering::Relaxed), 1);
        host.port.connect(3, malformed());
        assert_eq!(host.next().await[0].to, 3);
        assert_eq!(host.wakes.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn an_aborted_operation_delivers_nothing_and_a_disconnected_client_refuses_calls() {
        let host = Host::new();
        let client = host.client().await;
        host.port.call(&client, 4, malformed()).abort();
        host.port.disconnect(&client, 5);
        let deliveries = host.next().await;
        assert!(matches!(deliveries[..], [Delivery { to: 5, content: Content::Nothing }]), "{deliveries:?}");
        let call = Call { method: "GetSystemInfo".into(), ..Call::default() };
        host.port.call(&client, 6, call.encode_to_vec().into());
        let deliveries = host.next().await;
        assert!(error_of(&deliveries[0]).message.contains("closed"), "{deliveries:?}");
    }

    #[tokio::test]
    async fn what_began_before_its_client_was_closed_was_cut_off_by_that() {
        let host = Host::new();
        let client = host.client().await;
        // The runtime has one thread, this one: nothing of the call runs before the client is closed.
        let call = Call { method: "GetSystemInfo".into(), ..Call::default() };
        host.port.call(&client, 7, call.encode_to_vec().into());
        let closing = client.core().expect("open").clone();
        closing.close().await;
        assert_eq!(error_of(&host.next().await[0]).code, Code::Cancelled as i32);
    }

    #[tokio::test]
    async fn a_closed_port_takes_nothing_more() {
        let host = Host::new();
        let client = host.client().await;
        host.port.close();
        host.port.mailbox.push(Delivery { to: 9, content: Content::Client(client) });
        assert!(host.port.drain().is_empty());
        assert_eq!(host.wakes.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_client_may_be_dropped_outside_the_runtime() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let client = runtime.block_on(async { Host::new().client().await });
        drop(client);
    }
}
