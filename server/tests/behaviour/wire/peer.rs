//! The server that answers: ours, in this process, or the real one, in a process of its own; each on a state file, so
//! that it can be restarted.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use durably_proto::temporal::api::workflowservice::v1::RegisterNamespaceRequest;
use prost::Message as _;
use tempfile::TempDir;
use tonic::{Code, transport::Channel};

use crate::{support::*, wire::world::World};

/// The namespace beside the default one.
pub const ELSEWHERE: &str = "elsewhere";
/// What the server does not read of an answer: histories of large tests.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

pub enum Peer {
    Ours(Harness),
    Temporal(Process),
}

/// The real server; dropping it ends it.
pub struct Process {
    binary: PathBuf,
    directory: TempDir,
    child: Child,
    address: String,
}

impl Process {
    fn start(binary: &Path, directory: TempDir) -> Self {
        let mut child = Command::new(binary)
            .arg("--file")
            .arg(directory.path().join("state.db"))
            // It stops when this pipe closes, and so with us, however we end.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "{} named no address", binary.display());
        Self { binary: binary.to_owned(), directory, child, address }
    }

    fn restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let directory = std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap());
        let binary = self.binary.clone();
        drop(self);
        Self::start(&binary, directory)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    pub async fn ours() -> Self {
        let peer = Self::Ours(Harness::start().await);
        peer.add_namespace().await;
        peer
    }

    /// The real server, whose program `cargo xtask conformance` builds and names.
    pub async fn temporal() -> Self {
        let binary = std::env::var("DURABLY_TEMPORAL_SERVER")
            .expect("DURABLY_TEMPORAL_SERVER is not set; run `cargo xtask conformance --wire`");
        let peer = Self::Temporal(Process::start(Path::new(&binary), tempfile::tempdir().unwrap()));
        peer.add_namespace().await;
        peer
    }

    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Ours(_))
    }

    pub async fn restart(self) -> Self {
        match self {
            Self::Ours(harness) => Self::Ours(harness.restart().await),
            Self::Temporal(process) => Self::Temporal(process.restart()),
        }
    }

    pub async fn channel(&self) -> Channel {
        let address = match self {
            Self::Ours(harness) => harness.address.to_string(),
            Self::Temporal(process) => process.address.clone(),
        };
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
    }

    /// A world of its own for one row.
    pub async fn world(&self, name: &str) -> World {
        World::new(self.channel().await, name, LARGEST_ANSWER)
    }

    async fn add_namespace(&self) {
        let world = self.world("namespaces").await;
        let request = RegisterNamespaceRequest {
            namespace: ELSEWHERE.into(),
            workflow_execution_retention_period: millis(86_400_000),
            ..Default::default()
        };
        world.client().register_namespace(request).await.unwrap();
        // The real server's namespaces are known everywhere a while after they are registered.
        let started = start("probe");
        loop {
            let mut request = started.clone();
            request.namespace = ELSEWHERE.into();
            let path = "/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution";
            match world.raw(path, request.encode_to_vec().into()).await {
                Err(status) if status.code() == Code::NotFound => {
                    // tidy-allow: sleep: the real server says nothing when it has heard of a namespace
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
                answer => {
                    answer.unwrap();
                    break;
                }
            }
        }
    }
}
