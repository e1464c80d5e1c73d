//! `cargo xtask bench`: the release server against a real Temporal server, each on an SQLite file, in one
//! run on one machine; then the SDKs of each language against each other on our server.
//!
//! Only ratios within one run carry over to another day or machine, so ratios are what the marks are in,
//! where they can be. Everything goes to `target/bench/` as JSON too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::{Value, json};

use crate::fetch;
use crate::go;
use crate::python::Venv;
use crate::servers::Running;
use crate::shell::{self, Failure, Shell, heading};
use crate::sidecar;
use crate::suites;
use crate::typescript_programs;

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Limit of one mode on one server; a mode that is cut off reports what it has done
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    seconds: u32,
    /// Leave out the Python SDKs
    #[arg(long)]
    no_python: bool,
    /// Leave out the comparison of Go SDKs
    #[arg(long)]
    no_go: bool,
    /// Leave out the TypeScript SDKs
    #[arg(long)]
    no_typescript: bool,
    /// Leave out the real Temporal server, and with it the ratios
    #[arg(long)]
    no_peer: bool,
    /// Another release build of `durably`, of the commit before: measured in the same run, for comparison
    #[arg(long, value_name = "BINARY")]
    base: Option<PathBuf>,
}

/// NAME:RUNS:CONCURRENT:STEPS of the load generator; the first is the one that the marks speak of.
const MODES: &[&str] = &["activity:1000:50:1", "activity:100:1:1", "activity:200:50:10", "signal:200:50:10"];
/// What only servers are measured with. A run may have 2,000 pending activities, and its steps need room beside them.
const SERVER_MODES: &[&str] = &[
    "children:100:20:10",
    // Of one run, which may have 2,000.
    "updates:500:1:1",
    "updates:1500:32:1",
    "beside:2:1:300",
    "beside:1990:1:300",
    "start:2000:1:1",
    "start-listing:2000:1:1",
];
const STARTS: usize = 5;
/// The server of the commit before.
const BASE: &str = "base";

/// One of the figures that this release must reach.
struct Mark {
    what: String,
    limit: f64,
    unit: &'static str,
    measured: Option<f64>,
}

pub(crate) fn run(shell: &Shell, args: &BenchArgs) -> Result<(), Failure> {
    heading("build");
    suites::build_release(shell)?;
    let ours = shell.target().join("release").join("durably");
    let load = fetch::go_program(shell, "bench/go", ".", "load")?;
    let peer = if args.no_peer { None } else { Some(fetch::temporal_server(shell)?) };
    let folder = shell.target().join("bench");
    fs::create_dir_all(&folder)?;
    // Beside the tree and not in a temporary folder, which is in memory on many machines.
    let states = tempfile::tempdir_in(&folder)?;

    let before = match &args.base {
        Some(base) => {
            Some(measure_server(shell, BASE, &load, args, states.path(), |file| Target::ours(base, file))?)
        }
        None => None,
    };
    let own = measure_server(shell, "durably", &load, args, states.path(), |file| Target::ours(&ours, file))?;
    let theirs = match &peer {
        Some(peer) => Some(measure_server(shell, "temporal", &load, args, states.path(), |file| {
            Target::peer(peer, file)
        })?),
        None => None,
    };
    let python = if args.no_python { Vec::new() } else { python_sdks(shell, &ours, states.path())? };

    let go = if args.no_go { Vec::new() } else { go_sdks(shell, &ours, args, states.path())? };

    let typescript =
        if args.no_typescript { Vec::new() } else { typescript_sdks(shell, &ours, states.path())? };

    heading("sidecar");
    let round_trip = sidecar::round_trip(shell, states.path())?;

    let mut marks = marks(&own, theirs.as_ref());
    marks.extend(sdk_mark("Python", "sdk_cpu_ms_per_workflow", 1.0 / 3.0, &python));
    marks.extend(sdk_mark("Go", "worker_cpu_ms_per_workflow", 1.0, &go));
    marks.extend(sdk_mark("TypeScript", "sdk_cpu_ms_per_workflow", 1.0 / 3.0, &typescript));
    marks.push(Mark {
        what: "sidecar: p50 of an activity's answer over a Unix socket".to_owned(),
        limit: 1.0,
        unit: " ms",
        measured: round_trip["answer"]["p50_ms"].as_f64(),
    });
    heading("server, on an SQLite file; Go SDK as client and worker");
    print_servers(&own, "temporal", theirs.as_ref());
    if before.is_some() {
        heading("server, beside the commit before");
        print_servers(&own, "base", before.as_ref());
    }
    heading("Python SDKs, on our server in memory");
    print_sdks(&python);
    heading("Go SDKs, on our server");
    print_go(&go);
    heading("TypeScript SDKs, on our server");
    print_sdks(&typescript);
    heading("marks");
    let missed = print_marks(&marks);
    let report = json!({
        "durably": own, "temporal": theirs, "base": before, "python": python, "go": go, "typescript": typescript, "sidecar": round_trip,
        "marks": marks.iter().map(|m| json!({"what": m.what, "limit": m.limit, "measured": m.measured})).collect::<Vec<_>>(),
    });
    let path = folder.join("report.json");
    fs::write(
        &path,
        serde_json::to_string_pretty(&report).map_err(|error| Failure::new(error.to_string()))?,
    )?;
    println!("\nwritten to {}", crate::relative(shell.root(), &path));
    if missed == 0 { Ok(()) } else { Err(Failure::new(format!("{missed} mark(s) missed"))) }
}

/// How to start a server on a state file, for us and for the load generator.
struct Target {
    start: Box<dyn Fn() -> Result<Running, Failure>>,
    /// With `{port}` in place of the port.
    command: Vec<PathBuf>,
}

impl Target {
    fn ours(binary: &Path, file: PathBuf) -> Self {
        let args = ["server", "start-dev", "--headless", "--port", "{port}", "--db-filename"];
        let command =
            [binary.to_path_buf()].into_iter().chain(args.map(Into::into)).chain([file.clone()]).collect();
        let binary = binary.to_path_buf();
        Self { start: Box::new(move || Running::durably(&binary, Some(&file))), command }
    }

    fn peer(binary: &Path, file: PathBuf) -> Self {
        let args = ["--port", "{port}", "--file"];
        let command =
            [binary.to_path_buf()].into_iter().chain(args.map(Into::into)).chain([file.clone()]).collect();
        let binary = binary.to_path_buf();
        Self { start: Box::new(move || Running::temporal(&binary, Some(&file))), command }
    }
}

/// Start-up and idle figures (median of several), then the load modes, one server process for all of them.
fn measure_server(
    shell: &Shell,
    name: &str,
    load: &Path,
    args: &BenchArgs,
    states: &Path,
    target: impl Fn(PathBuf) -> Target,
) -> Result<Value, Failure> {
    heading(name);
    let mut starts = Vec::new();
    for i in 0..STARTS {
        let fresh = target(states.join(format!("{name}-start-{i}.db")));
        let done = shell::stream(shell.command(load).arg("-startup").arg("--").args(&fresh.command))?;
        starts.extend(json_lines(&done.stdout));
    }
    if starts.len() < STARTS {
        return Err(Failure::new(format!("{name} did not start; its output is above")));
    }
    let server = (target(states.join(format!("{name}.db"))).start)()?;
    let mut generator = shell.command(load);
    generator.args(["-address", &server.address, "-pid", &server.pid().to_string()]);
    generator.args(["-seconds", &args.seconds.to_string()]).args(MODES).args(SERVER_MODES);
    let done = shell::stream(&mut generator)?;
    let modes = json_lines(&done.stdout);
    // The commit before may lack what is new.
    let failed = name != BASE && modes.iter().any(|mode| mode.get("failed").is_some());
    if !done.success || failed || modes.len() < MODES.len() + SERVER_MODES.len() {
        return Err(Failure::new(format!("the load generator failed against {name}; its output is above")));
    }
    Ok(json!({
        "first_answer_ms": median(&starts, "first_answer_ms"),
        "idle_rss_mb": median(&starts, "idle_rss_mb"),
        "idle_cpu_percent": median(&starts, "idle_cpu_percent"),
        "modes": modes,
    }))
}

/// The same program with the official SDK and with ours, one after the other on fresh servers of ours.
fn python_sdks(shell: &Shell, ours: &Path, states: &Path) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for package in ["temporalio", "durably"] {
        heading(&format!("Python: {package}"));
        let venv =
            if package == "durably" { Venv::with_our_wheel(shell)? } else { suites::official_venv(shell)? };
        let server = Running::durably(ours, Some(&states.join(format!("python-{package}.db"))))?;
        let mut program: Command = shell.command(venv.python());
        program.args(["bench/python/sdk_bench.py", "--package", package, "--address", &server.address]);
        let done = shell::stream(&mut program)?;
        let lines = json_lines(&done.stdout);
        if !done.success {
            println!("{package}: failed; its output is above");
        }
        found.push(json!({"package": package, "modes": lines}));
    }
    Ok(found)
}

/// The load generator with the official Go SDK and with ours, in turns on one server of ours.
fn go_sdks(shell: &Shell, ours: &Path, args: &BenchArgs, states: &Path) -> Result<Vec<Value>, Failure> {
    let generators = go::load_generators(shell)?;
    let server = Running::durably(ours, Some(&states.join("go.db")))?;
    let mut found = Vec::new();
    for (name, generator) in &generators {
        heading(&format!("Go: {name}"));
        let mut load = shell.command(generator);
        load.args(["-address", &server.address, "-pid", &server.pid().to_string()]);
        load.args(["-seconds", &args.seconds.to_string()]).args(MODES);
        let done = shell::stream(&mut load)?;
        if !done.success {
            return Err(Failure::new(format!("the load generator with {name} failed; its output is above")));
        }
        found.push(json!({"sdk": name, "modes": json_lines(&done.stdout)}));
    }
    Ok(found)
}

/// The same program with the official TypeScript SDK and with ours, in turns on one server of ours.
fn typescript_sdks(shell: &Shell, ours: &Path, states: &Path) -> Result<Vec<Value>, Failure> {
    let server = Running::durably(ours, Some(&states.join("typescript.db")))?;
    let mut found = Vec::new();
    for (name, mut program) in typescript_programs::benchmarks(shell)? {
        heading(&format!("TypeScript: {name}"));
        let done = shell::stream(program.args(["--address", &server.address]))?;
        if !done.success {
            return Err(Failure::new(format!("the benchmark with {name} failed; its output is above")));
        }
        found.push(json!({"package": name, "modes": json_lines(&done.stdout)}));
    }
    Ok(found)
}

/// Our worker costs at most so much of what the official one costs, which comes first.
fn sdk_mark(language: &str, figure: &str, limit: f64, sdks: &[Value]) -> Option<Mark> {
    let cpu = |sdk: &Value| sdk["modes"][0][figure].as_f64();
    let [official, ours] = sdks else { return None };
    Some(Mark {
        what: format!("{language}: client and worker CPU per one-activity workflow, of the official SDK's"),
        limit,
        unit: "",
        measured: cpu(ours).zip(cpu(official)).map(|(a, b)| a / b),
    })
}

/// How often a call crossed between language and core, if that was counted and there was a core.
fn crossings(mode: &Value) -> String {
    match mode["bridge_calls_per_workflow_task"].as_f64() {
        Some(calls) if calls > 0.0 => format!("  {calls:>5.2} calls across the bridge per workflow task"),
        _ => String::new(),
    }
}

fn print_go(go: &[Value]) {
    for sdk in go {
        for (i, mode) in MODES.iter().enumerate() {
            let figure = |key: &str| sdk["modes"][i][key].as_f64().unwrap_or(f64::NAN);
            println!(
                "{:<10} {mode:<20} {:>8.1} workflows/s  p50 {:>7.1} ms  p99 {:>7.1} ms  SDK CPU {:>6.2} ms per workflow{}",
                sdk["sdk"].as_str().unwrap_or_default(),
                figure("workflows_per_s"),
                figure("p50_ms"),
                figure("p99_ms"),
                figure("worker_cpu_ms_per_workflow"),
                crossings(&sdk["modes"][i]),
            );
        }
    }
}

fn json_lines(stdout: &str) -> Vec<Value> {
    stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn median(values: &[Value], key: &str) -> f64 {
    let mut numbers: Vec<f64> = values.iter().filter_map(|value| value[key].as_f64()).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What is promised, beside what was measured; `None` where this run had no peer to compare with.
fn marks(own: &Value, theirs: Option<&Value>) -> Vec<Mark> {
    let cpu = |server: &Value| server["modes"][0]["server_cpu_ms_per_workflow"].as_f64();
    let ratio = theirs.and_then(|theirs| Some(cpu(own)? / cpu(theirs)?));
    let mode = |name: &str, key: &str| {
        let modes = own["modes"].as_array()?;
        modes
            .iter()
            .filter(|mode| mode["mode"] == name)
            .map(|mode| mode[key].as_f64())
            .collect::<Option<Vec<_>>>()
    };
    let beside = match mode("beside", "server_cpu_ms_per_workflow").as_deref() {
        Some([few, many]) => Some(many / few),
        _ => None,
    };
    let p99 = |name| mode(name, "p99_ms")?.first().copied();
    let mut marks = marks_of_messages(own, theirs);
    marks.extend([
        Mark {
            what: "server CPU per step beside 1,990 pending activities, of that beside 2".to_owned(),
            limit: 1.2,
            unit: "",
            measured: beside,
        },
        Mark {
            what: "p99 of starts during a listing without end, of that without".to_owned(),
            limit: 2.0,
            unit: "",
            measured: p99("start-listing").zip(p99("start")).map(|(during, alone)| during / alone),
        },
        Mark {
            what: "server CPU per workflow, of Temporal's (50 concurrent, one activity)".to_owned(),
            limit: 1.0 / 20.0,
            unit: "",
            measured: ratio,
        },
        Mark { what: "server CPU per workflow".to_owned(), limit: 0.6, unit: " ms", measured: cpu(own) },
        Mark {
            what: "sequential p50".to_owned(),
            limit: 10.0,
            unit: " ms",
            measured: own["modes"][1]["p50_ms"].as_f64(),
        },
        Mark {
            what: "start-up to the first answer".to_owned(),
            limit: 150.0,
            unit: " ms",
            measured: own["first_answer_ms"].as_f64(),
        },
        Mark { what: "idle RSS".to_owned(), limit: 40.0, unit: " MB", measured: own["idle_rss_mb"].as_f64() },
    ]);
    marks
}

/// Of runs that speak to each other and to their callers.
fn marks_of_messages(own: &Value, theirs: Option<&Value>) -> Vec<Mark> {
    let first = |server: &Value, name: &str, key: &str| {
        server["modes"].as_array()?.iter().find(|mode| mode["mode"] == name)?[key].as_f64()
    };
    let cpu_of_temporals = |name: &str| {
        let cpu = |server| first(server, name, "server_cpu_ms_per_workflow");
        theirs.and_then(|theirs| Some(cpu(own)? / cpu(theirs)?))
    };
    vec![
        Mark {
            what: "server CPU per parent of 10 children, of Temporal's".to_owned(),
            limit: 1.0 / 15.0,
            unit: "",
            measured: cpu_of_temporals("children"),
        },
        Mark {
            what: "server CPU per update, of Temporal's (one at a time)".to_owned(),
            limit: 1.0 / 15.0,
            unit: "",
            measured: cpu_of_temporals("updates"),
        },
        Mark {
            what: "p50 of an update alone".to_owned(),
            limit: 2.5,
            unit: " ms",
            measured: first(own, "updates", "p50_ms"),
        },
    ]
}

/// Prints each mark and how it was met; gives the number of those that were missed.
fn print_marks(marks: &[Mark]) -> usize {
    let mut missed = 0;
    for mark in marks {
        let verdict = match mark.measured {
            Some(measured) if measured <= mark.limit => "met",
            Some(_) => {
                missed += 1;
                "MISSED"
            }
            None => "not measured",
        };
        let measured = mark.measured.map_or_else(|| "-".to_owned(), |m| format!("{m:.3}{}", mark.unit));
        println!("{:<70} {measured:>12}  limit {:.3}{}  {verdict}", mark.what, mark.limit, mark.unit);
    }
    missed
}

fn print_servers(own: &Value, name: &str, theirs: Option<&Value>) {
    println!("{:<44} {:>12} {:>12} {:>12}", "", "durably", name, "ratio");
    let row = |what: &str, ours: &Value, peer: Option<&Value>| {
        let (a, b) = (ours.as_f64(), peer.and_then(Value::as_f64));
        let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |v| format!("{v:.2}"));
        let ratio = a.zip(b).map(|(a, b)| if b == 0.0 { f64::NAN } else { a / b });
        println!(
            "{what:<44} {:>12} {:>12} {:>12}",
            text(a),
            text(b),
            ratio.map_or_else(|| "-".to_owned(), |r| format!("{r:.3}"))
        );
    };
    for (key, what) in [
        ("first_answer_ms", "start-up, ms"),
        ("idle_rss_mb", "idle RSS, MB"),
        ("idle_cpu_percent", "idle CPU, % of a core"),
    ] {
        row(what, &own[key], theirs.map(|theirs| &theirs[key]));
    }
    for (i, mode) in MODES.iter().chain(SERVER_MODES).enumerate() {
        println!("{mode} (name:runs:concurrent:steps)");
        for (key, what) in [
            ("workflows_per_s", "workflows/s"),
            ("p50_ms", "p50, ms"),
            ("p99_ms", "p99, ms"),
            ("server_cpu_ms_per_workflow", "server CPU, ms per workflow"),
            ("worker_cpu_ms_per_workflow", "client and worker CPU, ms per workflow"),
            ("server_rss_mb", "server RSS, MB"),
        ] {
            row(&format!("  {what}"), &own["modes"][i][key], theirs.map(|theirs| &theirs["modes"][i][key]));
        }
    }
}

fn print_sdks(packages: &[Value]) {
    for package in packages {
        let name = package["package"].as_str().unwrap_or_default();
        for mode in package["modes"].as_array().into_iter().flatten() {
            if let Some(rate) = mode["events_per_s"].as_f64() {
                println!("{name:<12} replay            {rate:>10.0} events/s");
                continue;
            }
            if mode["mode"] == "bridge" {
                println!(
                    "{name:<12} {:>3} steps, {:>3} at once {}",
                    mode["steps"],
                    mode["concurrent"],
                    crossings(mode)
                );
                continue;
            }
            let figure = |key: &str| mode[key].as_f64().unwrap_or(f64::NAN);
            println!(
                "{name:<12} {:>3} steps, {:>3} at once {:>8.1} workflows/s  p50 {:>8.1} ms  p99 {:>8.1} ms  SDK CPU {:>6.2} ms per workflow{}",
                mode["steps"],
                mode["concurrent"],
                figure("workflows_per_s"),
                figure("p50_ms"),
                figure("p99_ms"),
                figure("sdk_cpu_ms_per_workflow"),
                crossings(mode),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_compare_with_the_peer_of_the_same_run() {
        let server = |cpu: f64| {
            json!({"first_answer_ms": 100.0, "idle_rss_mb": 20.0, "modes": [
                {"server_cpu_ms_per_workflow": cpu}, {"p50_ms": 12.0},
            ]})
        };
        let marks = marks(&server(0.5), Some(&server(30.0)));
        assert_eq!(
            marks.iter().filter(|mark| mark.measured.is_some_and(|m| m > mark.limit)).count(),
            1,
            "only p50"
        );
        assert_eq!(super::marks(&server(0.5), None)[0].measured, None);
    }

    #[test]
    fn the_median_ignores_an_outlier() {
        let values = json_lines("{\"x\": 1}\nnoise\n{\"x\": 900}\n{\"x\": 2}\n");
        assert!((median(&values, "x") - 2.0).abs() < f64::EPSILON);
    }
}
