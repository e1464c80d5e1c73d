//! Runs a protobuf plugin (`protoc-gen-…`) over the contract's descriptors, so that its messages are generated for
//! another language without protoc: `generate OUT_DIR PARAMETER FOLDER PLUGIN [ARGUMENT…]`, where FOLDER is what the names
//! of the wanted .proto files begin with.

use std::io::{Error, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use prost::Message as _;
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, parameter, folder, plugin, rest @ ..] = &arguments[..] else {
        return Err(Error::other("usage: generate OUT_DIR PARAMETER FOLDER PLUGIN [ARGUMENT…]"));
    };
    let files = prost_types::FileDescriptorSet::decode(durably_proto::DESCRIPTORS).map_err(Error::other)?;
    let names = files.file.iter().map(|file| file.name().to_owned());
    let wanted: Vec<String> = names.filter(|name| name.starts_with(folder)).collect();
    if wanted.is_empty() {
        return Err(Error::other(format!("there is no .proto file in {folder}")));
    }
    let request = CodeGeneratorRequest {
        file_to_generate: wanted,
        parameter: Some(parameter.clone()),
        proto_file: in_order(files.file),
        compiler_version: None,
    };
    let mut child = Command::new(plugin).args(rest).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // Plugins read all of their input before they write.
    child.stdin.take().ok_or_else(|| Error::other("no pipe"))?.write_all(&request.encode_to_vec())?;
    let output = child.wait_with_output()?;
    let response = CodeGeneratorResponse::decode(&output.stdout[..]).map_err(Error::other)?;
    if !output.status.success() || response.error.is_some() {
        return Err(Error::other(format!("{plugin} failed ({}): {}", output.status, response.error())));
    }
    // Languages differ in the folders they want; the caller has named the one that counts.
    for file in &response.file {
        let name = Path::new(file.name()).file_name().ok_or_else(|| Error::other("a file without a name"))?;
        std::fs::write(Path::new(out).join(name), file.content())?;
    }
    Ok(())
}

/// Plugins want a file after those that it imports.
fn in_order(files: Vec<prost_types::FileDescriptorProto>) -> Vec<prost_types::FileDescriptorProto> {
    let mut placed: Vec<prost_types::FileDescriptorProto> = Vec::with_capacity(files.len());
    let mut open = files;
    while !open.is_empty() {
        let (ready, waiting): (Vec<_>, Vec<_>) = open.iter().cloned().partition(|file| {
            file.dependency.iter().all(|name| placed.iter().any(|done| done.name() == name))
        });
        if ready.is_empty() {
            // An import that the set lacks: the plugin will say which.
            placed.extend(waiting);
            break;
        }
        placed.extend(ready);
        open = waiting;
    }
    placed
}
