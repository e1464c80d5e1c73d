//! The TypeScript programs of `cargo xtask` that run with the official SDK and with ours: conformance, kill test, benchmark.
//!
//! They are written for the official packages. [`compiled`] copies them below `target/`, changes the scope of their
//! imports for our SDK, and nothing else, and compiles them there.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::go::Profile;
use crate::package::{self, Lang, Strip};
use crate::shell::{self, Failure, Shell};
use crate::suites;
use crate::tally::{Count, count_node};
use crate::toolchains::{NODE, NPM};

/// The packages that the programs are compiled against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    Official,
    Ours(Profile),
}

impl Sdk {
    fn folder(self) -> &'static str {
        match self {
            Sdk::Official => "official",
            Sdk::Ours(Profile::Debug) => "durably",
            Sdk::Ours(Profile::Release) => "durably-release",
        }
    }

    fn scope(self) -> &'static str {
        match self {
            Sdk::Official => OFFICIAL,
            Sdk::Ours(_) => "'@durably/",
        }
    }
}

/// As programs write it, in front of the package's name.
const OFFICIAL: &str = "'@temporalio/";
/// The official packages, the compiler and its settings.
const PEERS: &str = "tests/peers/typescript";
/// The addon's file in its package.
const ADDON: &str = "durably.node";
/// Where programs are, and their folder in the copy.
const SOURCES: &[(&str, &str)] = &[
    ("tests/conformance", "conformance"),
    ("tests/kill", "kill"),
    ("tests/square", "square"),
    ("bench/typescript", "bench"),
];

/// What records the histories that our SDK's tests replay.
const RECORDER: (&str, &str) = ("tests/replay", "replay");

/// The conformance programs.
pub(crate) fn conformance(shell: &Shell, sdk: Sdk) -> Result<Command, Failure> {
    node(shell, &compiled(shell, sdk)?.join("conformance/runner.js"))
}

/// The workflow worker of the kill test, with our SDK.
pub(crate) fn order_worker(shell: &Shell) -> Result<PathBuf, Failure> {
    Ok(compiled(shell, Sdk::Ours(Profile::Debug))?.join("kill/order_worker.js"))
}

/// The worker of the square, with our SDK; its command line.
pub(crate) fn square_worker(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    Ok(vec!["node".into(), compiled(shell, Sdk::Ours(Profile::Debug))?.join("square/worker.js")])
}

/// The SDK's own tests.
pub(crate) fn sdk_tests(shell: &Shell) -> Result<Count, Failure> {
    node_tests(shell, &build_ours(shell, Profile::Debug)?.join("tests"), &[])
}

/// The same tests, and the conformance programs, with workers that cache no workflow: each workflow task replays from the
/// start.
pub(crate) fn tests_uncached(shell: &Shell) -> Result<Count, Failure> {
    let uncached = [("DURABLY_TEST_MAX_CACHED_WORKFLOWS", "0")];
    let count = node_tests(shell, &build_ours(shell, Profile::Debug)?.join("tests"), &uncached)?;
    let folder = tempfile::tempdir()?;
    let mut programs = conformance(shell, Sdk::Ours(Profile::Debug))?;
    programs.arg("--address").arg(format!("embedded:{}", folder.path().join("state.db").display()));
    let done = shell::stream_filtered(programs.envs(uncached), |line| line.starts_with("{\"behaviour\""))?;
    let lines = |text| done.stdout.lines().filter(|line| line.contains(text)).count() as u64;
    let behaviours = Count { passed: lines("\"ok\":true"), failed: lines("\"ok\":false") };
    Ok(count.plus(behaviours.and_exit(done.success)))
}

/// Releases of Node.js, beside the one that is installed, in which the SDK must work.
const NODE_RELEASES: &[&str] = &["22.23.3", "24.21.0"];

/// The SDK's own tests in other releases of Node.js: built-ins and the engine's habits differ, the addon doesn't.
pub(crate) fn tests_in_other_releases(shell: &Shell) -> Result<Count, Failure> {
    let tests = build_ours(shell, Profile::Debug)?.join("tests");
    let mut sum = Count::default();
    for release in NODE_RELEASES {
        println!("Node.js {release}");
        let path = install_node(shell, release)?;
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let all = std::env::join_paths(std::iter::once(path).chain(std::env::split_paths(&inherited)))
            .map_err(|error| Failure::new(error.to_string()))?;
        sum = sum.plus(node_tests(shell, &tests, &[("PATH", &all.to_string_lossy())])?);
    }
    Ok(sum)
}

/// Installs a release of Node.js from the package registry; gives the folder of its binary.
fn install_node(shell: &Shell, release: &str) -> Result<PathBuf, Failure> {
    let folder = shell.target().join("peers").join(format!("node-{release}"));
    let (system, machine) = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", machine) => ("darwin", machine),
        (system, machine) => (system, machine),
    };
    let machine = if machine == "aarch64" { "arm64" } else { "x64" };
    let package = format!("node-{system}-{machine}");
    let binaries = folder.join("node_modules").join(&package).join("bin");
    if !binaries.join("node").exists() {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{\"private\": true}")?;
        let mut npm = shell.command("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--no-package-lock"]);
        shell::quiet(npm.arg(format!("{package}@{release}")).current_dir(&folder))?;
    }
    Ok(binaries)
}

/// Builds the order program; its command line, up to its arguments.
pub(crate) fn order_program(shell: &Shell) -> Result<Vec<PathBuf>, Failure> {
    Ok(vec!["node".into(), build_order_program(shell)?.join("lib/order.js")])
}

/// The order program's own test.
pub(crate) fn order_program_tests(shell: &Shell) -> Result<Count, Failure> {
    node_tests(shell, &build_order_program(shell)?, &[])
}

/// Runs the compiled tests of a folder. Node 20 takes a folder's name for that, later versions don't.
fn node_tests(shell: &Shell, folder: &Path, env: &[(&str, &str)]) -> Result<Count, Failure> {
    let files = suites::files_below(&folder.join("lib"), "js")?;
    let files = files.into_iter().filter(|file| file.to_string_lossy().ends_with(".test.js"));
    let mut tests = node(shell, Path::new("--test"))?;
    let done = shell::stream(
        tests.arg("--test-timeout=300000").args(files).envs(env.iter().copied()).current_dir(folder),
    )?;
    Ok(count_node(&done.stdout).and_exit(done.success))
}

fn build_order_program(shell: &Shell) -> Result<PathBuf, Failure> {
    let folder = shell.root().join("examples/typescript");
    install_ours(shell, Profile::Debug, &folder)?;
    shell::run(shell.command("npm").args(["run", "--silent", "build"]).current_dir(&folder))?;
    Ok(folder)
}

/// The SDK benchmark, by SDK.
pub(crate) fn benchmarks(shell: &Shell) -> Result<Vec<(&'static str, Command)>, Failure> {
    let official = node(shell, &compiled(shell, Sdk::Official)?.join("bench/sdk_bench.js"))?;
    let ours = node(shell, &compiled(shell, Sdk::Ours(Profile::Release))?.join("bench/sdk_bench.js"))?;
    Ok(vec![("sdk-typescript", official), ("durably", ours)])
}

fn node(shell: &Shell, script: &Path) -> Result<Command, Failure> {
    NODE.release(shell)?;
    let mut command = shell.command("node");
    command.arg("--enable-source-maps").arg(script);
    Ok(command)
}

/// Compiles all programs for an SDK; gives the folder of the results.
fn compiled(shell: &Shell, sdk: Sdk) -> Result<PathBuf, Failure> {
    let peers = install_peers(shell)?;
    let folder = peers.join(sdk.folder());
    shell.once(&format!("compile the programs of {}", sdk.folder()), || {
        compile(shell, sdk, &peers, &folder)
    })?;
    Ok(folder.join("lib"))
}

fn compile(shell: &Shell, sdk: Sdk, peers: &Path, folder: &Path) -> Result<(), Failure> {
    if let Sdk::Ours(profile) = sdk {
        fs::create_dir_all(folder)?;
        // It makes the folder a project of its own, whose packages npm leaves alone in the one around it.
        fs::write(folder.join("package.json"), "{\"private\": true}")?;
        install_ours(shell, profile, folder)?;
    }
    for made in SOURCES.iter().chain([&RECORDER]).map(|(_, name)| *name).chain(["lib"]) {
        let _ = fs::remove_dir_all(folder.join(made));
    }
    let recorder = (sdk == Sdk::Official).then_some(&RECORDER);
    for (source, name) in SOURCES.iter().chain(recorder) {
        copy_sources(&shell.root().join(source), &folder.join(name), sdk)?;
    }
    fs::copy(shell.root().join(PEERS).join("tsconfig.json"), folder.join("tsconfig.json"))?;
    let compiler = peers.join("node_modules/typescript/bin/tsc");
    shell::run(node(shell, &compiler)?.arg("--project").arg(folder))
}

/// Installs what `tests/peers/typescript` names, unless it is there already.
fn install_peers(shell: &Shell) -> Result<PathBuf, Failure> {
    let folder = shell.target().join("peers").join("typescript");
    fs::create_dir_all(&folder)?;
    let wanted = fs::read_to_string(shell.root().join(PEERS).join("package.json"))?;
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    for file in ["package.json", ".npmrc"] {
        fs::copy(shell.root().join(PEERS).join(file), folder.join(file))?;
    }
    println!("npm installs the official TypeScript SDK and the compiler");
    shell::quiet(shell.command("npm").args(["install", "--no-audit", "--no-fund"]).current_dir(&folder))?;
    fs::write(stamp, wanted)?;
    Ok(folder)
}

/// Installs our packages in a folder as a user would: from their tarballs.
fn install_ours(shell: &Shell, profile: Profile, folder: &Path) -> Result<(), Failure> {
    let tarballs = package::make(shell, Lang::Typescript, profile)?;
    // Their version stays the same while their contents change.
    let _ = fs::remove_dir_all(folder.join("node_modules/@durably"));
    let _ = fs::remove_file(folder.join("node_modules/.package-lock.json"));
    let mut npm = shell.command("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-save", "--no-package-lock"]);
    shell::quiet(npm.args(suites::files_below(&tarballs, "tgz")?).current_dir(folder))?;
    Ok(())
}

/// Makes the tarballs of our packages in a folder, with the addon of a profile.
pub(crate) fn pack(shell: &Shell, profile: Profile, folder: &Path) -> Result<(), Failure> {
    let sdk = build_ours(shell, profile)?;
    package::emptied(folder)?;
    // The addon of the tree stays whole, for the tests there. So its package is packed from a copy.
    let staging = tempfile::tempdir_in(folder)?;
    let bridge = staging.path().join("core-bridge");
    let mut packages = vec![bridge.clone()];
    for entry in fs::read_dir(sdk.join("packages"))? {
        let package = entry?.path();
        if package.ends_with("core-bridge") {
            copy_package(&package, &bridge)?;
            let addon = addon(shell, profile);
            package::copy_stripped(shell, Strip::Symbols, &addon, &bridge.join(ADDON))?;
        } else {
            packages.push(package);
        }
    }
    packages.sort();
    let mut pack = shell.command("npm");
    shell::quiet(pack.arg("pack").args(packages).arg("--pack-destination").arg(folder))?;
    Ok(())
}

/// Copies what npm would pack of a package, without its addon.
fn copy_package(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_package(&path, &to.join(name))?;
        } else if name != ADDON {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Builds our packages, their tests included, with the addon of a profile; gives their folder.
fn build_ours(shell: &Shell, profile: Profile) -> Result<PathBuf, Failure> {
    let sdk = shell.root().join("sdk-typescript");
    shell.once(&format!("build the TypeScript SDK, {}", profile.folder()), || build(shell, profile, &sdk))?;
    Ok(sdk)
}

fn build(shell: &Shell, profile: Profile, sdk: &Path) -> Result<(), Failure> {
    NODE.release(shell)?;
    NPM.release(shell)?;
    match profile {
        Profile::Debug => suites::build_workspace(shell)?,
        Profile::Release => suites::build_release(shell)?,
    }
    let types = sdk.join("packages/proto/src/generated");
    let generator = shell.target().join(profile.folder()).join("examples").join("typescript");
    shell::quiet(shell.command(generator).arg(types))?;
    shell::quiet(shell.command("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(sdk))?;
    shell::run(shell.command("npm").args(["run", "build"]).current_dir(sdk))?;
    fs::copy(addon(shell, profile), sdk.join("packages/core-bridge").join(ADDON))?;
    Ok(())
}

/// The addon as cargo builds it.
fn addon(shell: &Shell, profile: Profile) -> PathBuf {
    shell.target().join(profile.folder()).join(format!("{DLL_PREFIX}durably_node{DLL_SUFFIX}"))
}

/// Copies what is TypeScript below `from`, with the imports of the SDK.
fn copy_sources(from: &Path, to: &Path, sdk: Sdk) -> Result<(), Failure> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            copy_sources(&path, &to.join(name), sdk)?;
        } else if path.extension().is_some_and(|ext| ext == "ts") {
            fs::create_dir_all(to)?;
            let text = fs::read_to_string(&path)?;
            fs::write(to.join(name), text.replace(OFFICIAL, sdk.scope()))?;
        }
    }
    Ok(())
}
