//! Generates prost types and tonic stubs for Temporal's public API and for `durably.core.v1`.
//!
//! Temporal's definitions come from the descriptor set that the crate `temporalio-protos` exports to the build
//! scripts of its dependents. Our own contract imports them, so both are compiled against one set.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use protox::file::{ChainFileResolver, DescriptorSetFileResolver, IncludeFileResolver};

/// Packages of the descriptor set that are part of the wire between workers, clients and servers.
const WANTED: &[&str] = &["temporal/api/", "google/rpc/", "google/protobuf/"];
/// Temporal Cloud's control plane is another product's API.
const UNWANTED: &[&str] = &["temporal/api/cloud/"];
/// Holds the contract between the core and a language, and the sidecar's service, which carries it.
const OURS: &str = "proto";

fn main() -> Result<(), Box<dyn Error>> {
    let descriptors = PathBuf::from(env::var("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", descriptors.display());
    println!("cargo:rerun-if-changed={OURS}");
    let ours = files_below(Path::new(OURS), "")?;

    let temporal = protox::prost_reflect::DescriptorPool::decode(fs::read(&descriptors)?.as_slice())?;
    let mut resolver = ChainFileResolver::new();
    resolver.add(IncludeFileResolver::new(PathBuf::from(OURS)));
    resolver.add(DescriptorSetFileResolver::new(FileDescriptorSet {
        file: temporal.file_descriptor_protos().cloned().collect(),
    }));
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).include_source_info(true);
    for file in &ours {
        compiler.open_file(file)?;
    }
    let wanted = |name: &str| {
        WANTED.iter().any(|p| name.starts_with(p)) && !UNWANTED.iter().any(|p| name.starts_with(p))
    };
    for file in temporal.files().filter(|f| wanted(f.name())) {
        compiler.open_file(file.name())?;
    }
    let set = compiler.file_descriptor_set();

    // Bridges build native objects from this table; JSON forms of histories are read and written by it.
    let mut lean = set.clone();
    for file in &mut lean.file {
        file.source_code_info = None;
    }
    fs::write(out.join("descriptors.bin"), lean.encode_to_vec())?;
    fs::write(out.join("sources.rs"), sources(&ours)?)?;

    let mut config = tonic_prost_build::Config::new();
    // The names are what a decoder finds its message's descriptor by.
    config.bytes(["."]).btree_map(["."]).enable_type_names();
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .generate_default_stubs(true)
        .codec_path("crate::codec::BoundedCodec")
        .include_file("all.rs")
        .compile_fds_with_config(set, config)?;
    Ok(())
}

/// The .proto files below a folder, by the paths under which they are imported, in order.
fn files_below(root: &Path, folder: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type()?.is_dir() {
            files.append(&mut files_below(root, &path)?);
        } else if Path::new(&path).extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// An expression: every file with its text.
fn sources(files: &[String]) -> Result<String, Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let mut list = String::from("&[\n");
    for file in files {
        let text = format!("{root}/{OURS}/{file}");
        writeln!(list, "    ({file:?}, include_str!({text:?})),")?;
    }
    list.push(']');
    Ok(list)
}
