//! The least HTTP client that a test needs: one request per connection, over TCP or a Unix socket.

use std::path::PathBuf;

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

/// Where to, and with which token.
pub(crate) enum Target {
    Unix(PathBuf),
    Tcp(String, String),
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Null if there is none.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Target {
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Reply {
        match self {
            Self::Unix(socket) => {
                exchange(UnixStream::connect(socket).await.unwrap(), method, path, "", body).await
            }
            Self::Tcp(address, token) => {
                exchange(TcpStream::connect(address).await.unwrap(), method, path, token, body).await
            }
        }
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> Reply {
    let authorization =
        if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: sidecar\r\nconnection: close\r\n{authorization}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses the body may have closed the connection before all of it was sent.
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer to {method} {path}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(!head.contains("chunked"), "this client can't read {head}");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).unwrap_or(Value::Null) };
    Reply { status, body }
}
