//! Calls that compile and are wrong where they stand, each with what to write instead.

use super::Finding;
use super::reach;
use super::source::{Language, Source};

/// Which code of the files in scope a rule looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    /// Test files, and modules under `#[cfg(test)]`.
    Tests,
    /// What is shipped.
    Product,
}

/// One banned call.
struct Ban {
    /// What `tidy-allow` names.
    rule: &'static str,
    language: Language,
    /// Path prefixes; empty means everywhere.
    within: &'static [&'static str],
    part: Part,
    calls: &'static [&'static str],
    instead: &'static str,
}

/// Where logic is sans-IO: a deterministic machine, with time and chance as arguments.
const SANS_IO: &[&str] = &["core/src/workflow", "server/src/engine", "sidecar/src/assignment"];
/// Every crate.
const CRATES: &[&str] = &[
    "proto/src",
    "core/src",
    "server/src",
    "bridge-c/src",
    "bridge-node/src",
    "bridge-python/src",
    "sidecar/src",
    "cli/src",
    "xtask/src",
];

const BANS: &[Ban] = &[
    Ban {
        rule: "clock",
        language: Language::Rust,
        within: SANS_IO,
        part: Part::Product,
        calls: &["SystemTime::now", "Instant::now", "Utc::now"],
        instead: "take `now` as an argument: the machine replays",
    },
    Ban {
        rule: "random",
        language: Language::Rust,
        within: SANS_IO,
        part: Part::Product,
        calls: &[
            "thread_rng",
            "rand::rng",
            "rand::random",
            "Uuid::new_v4",
            "from_entropy",
            "from_os_rng",
            "RandomState",
        ],
        instead: "take randomness as an argument, or draw from the run's seeded generator: the machine replays",
    },
    Ban {
        rule: "io",
        language: Language::Rust,
        within: SANS_IO,
        part: Part::Product,
        calls: &[
            "tokio::",
            "std::fs",
            "std::net",
            "std::thread",
            "std::sync::Mutex",
            "parking_lot",
            "tracing::",
            "std::env",
        ],
        instead: "return an effect and let the driver do it: the machine does no I/O, locking or logging",
    },
    Ban {
        rule: "unwrap",
        language: Language::Rust,
        within: CRATES,
        part: Part::Product,
        calls: &[".unwrap()"],
        instead: "return an error that says what to do, or `expect(\"why it cannot fail\")`",
    },
    Ban {
        rule: "sleep",
        language: Language::Rust,
        within: &[],
        part: Part::Tests,
        calls: &["thread::sleep", "time::sleep("],
        instead: "await the condition: a sleep is slow on a fast machine and flaky on a slow one",
    },
    Ban {
        rule: "sleep",
        language: Language::Python,
        within: &[],
        part: Part::Tests,
        calls: &["time.sleep(", "asyncio.sleep("],
        instead: "await the condition: a sleep is slow on a fast machine and flaky on a slow one",
    },
    Ban {
        rule: "sleep",
        language: Language::Go,
        within: &[],
        part: Part::Tests,
        calls: &["time.Sleep("],
        instead: "await the condition: a sleep is slow on a fast machine and flaky on a slow one",
    },
    Ban {
        rule: "sleep",
        language: Language::TypeScript,
        // Elsewhere below `tests/`, programs for the official SDK's workflows use it for durable timers.
        within: &["sdk-typescript/tests", "examples/typescript"],
        part: Part::Tests,
        calls: &["setTimeout("],
        instead: "await the condition: a sleep is slow on a fast machine and flaky on a slow one",
    },
    Ban {
        rule: "protobuf",
        language: Language::Python,
        within: &["sdk-python/durably"],
        part: Part::All,
        calls: &["import google.protobuf", "from google.protobuf", "import temporalio", "from temporalio"],
        instead: "the package depends on no protobuf runtime and on no other SDK; the bridge builds the objects",
    },
];

pub(super) fn check(tree: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let test_modules = reach::test_modules(tree);
    for source in tree {
        let is_test = source.is_test_file() || test_modules.contains(&source.path);
        let tests = if source.language == Language::Rust { source.rust_test_regions() } else { Vec::new() };
        for ban in BANS.iter().filter(|ban| applies(ban, source)) {
            for (i, line) in source.code.lines().enumerate() {
                let number = i + 1;
                let exempt = is_test || tests.iter().any(|(from, to)| (*from..=*to).contains(&number));
                let looked_at = match ban.part {
                    Part::All => true,
                    Part::Tests => exempt,
                    Part::Product => !exempt,
                };
                let Some(call) = ban.calls.iter().find(|call| calls(line, call)) else { continue };
                if looked_at && !is_no_wait(source, i, call) && !source.allows(ban.rule, number) {
                    findings.push(Finding::new(
                        &source.path,
                        number,
                        format!("`{call}` is banned here: {}", ban.instead),
                    ));
                }
            }
        }
    }
    findings
}

fn applies(ban: &Ban, source: &Source) -> bool {
    ban.language == source.language
        && (ban.within.is_empty() || ban.within.iter().any(|prefix| source.path.starts_with(prefix)))
}

/// Whether `call` stands in `line` as a name of its own.
fn calls(line: &str, call: &str) -> bool {
    line.match_indices(call).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        call.starts_with('.') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Python's sleeps that wait for nothing: one of zero only lets others run; an activity that heartbeats in a loop
/// stands for long work; and inside a workflow `asyncio.sleep` is a durable timer, which the test is about.
fn is_no_wait(source: &Source, line: usize, call: &str) -> bool {
    if source.language != Language::Python || !call.ends_with("sleep(") {
        return false;
    }
    let lines: Vec<&str> = source.code.lines().collect();
    let works_in_steps =
        lines[line.saturating_sub(2)..line].iter().any(|above| above.contains("activity.heartbeat("));
    if lines[line].contains("sleep(0)") || works_in_steps {
        return true;
    }
    call == "asyncio.sleep(" && is_in_workflow(&lines, line)
}

fn is_in_workflow(lines: &[&str], line: usize) -> bool {
    let indent = |text: &str| text.len() - text.trim_start().len();
    let mut depth = indent(lines[line]);
    for at in (0..line).rev() {
        let text = lines[at];
        if text.trim().is_empty() || indent(text) >= depth {
            continue;
        }
        depth = indent(text);
        if text.trim_start().starts_with("class ") {
            // The decorators stand right above, at the same depth.
            return lines[..at]
                .iter()
                .rev()
                .take_while(|above| indent(above) >= depth && !above.trim().is_empty())
                .any(|above| above.trim_start().starts_with("@workflow.defn"));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tidy::tests::findings_in;

    #[test]
    fn rules_are_about_folders_that_are_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
        for folder in BANS.iter().flat_map(|ban| ban.within) {
            assert!(
                root.join(folder).is_dir(),
                "{folder} has gone, and what was banned in it is banned nowhere"
            );
        }
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the workspace's manifest");
        let members = manifest.lines().find_map(|line| line.strip_prefix("members = ")).expect("its members");
        for member in members.split('"').skip(1).step_by(2) {
            assert!(CRATES.contains(&format!("{member}/src").as_str()), "CRATES lacks {member}");
        }
    }

    #[test]
    fn clocks_chance_and_io_are_banned_where_logic_is_sans_io() {
        let text = "//! Why.\nfn f() { let a = Instant::now(); let b = tokio::spawn(x); }\n";
        assert_eq!(findings_in("core/src/workflow/lib.rs", text).len(), 3, "two calls, and the file is dead");
        let text = "//! Why.\nfn f() { let b = rand::random(); }\n#[cfg(test)]\nmod tests { fn t() { rand::random() } }\n";
        assert_eq!(
            findings_in("server/src/engine/src/lib.rs", text),
            [
                "server/src/engine/src/lib.rs:2: `rand::random` is banned here: take randomness as an argument, \
              or draw from the run's seeded generator: the machine replays"
            ]
        );
        assert!(findings_in("server/src/lib.rs", "//! Why.\nfn f() { Instant::now(); }\n").is_empty());
    }

    #[test]
    fn unwrap_is_for_tests() {
        let text = "//! Why.\nfn f() { x.unwrap(); y.unwrap_or(1); }\n#[cfg(test)]\nmod tests { fn t() { x.unwrap() } }\n";
        assert_eq!(findings_in("core/src/lib.rs", text).len(), 1);
        assert!(findings_in("core/tests/a.rs", "//! Why.\nfn f() { x.unwrap(); }\n").is_empty());
    }

    #[test]
    fn tests_await_and_dont_sleep() {
        let text = "//! Why.\n#[cfg(test)]\nmod tests {\n    fn t() { std::thread::sleep(d) }\n}\n";
        assert_eq!(findings_in("core/src/lib.rs", text).len(), 1);
        assert_eq!(findings_in("sdk-go/worker/a_test.go", "package a\n\nvar _ = time.Sleep(1)\n").len(), 1);
        assert!(findings_in("sdk-go/worker/a.go", "package a\n\nvar _ = time.Sleep(1)\n").is_empty());
        assert_eq!(findings_in("sdk-typescript/tests/src/a.test.ts", "setTimeout(f, 1);\n").len(), 1);
        let allowed = "//! Why.\n#[cfg(test)]\nmod tests {\n    // tidy-allow: sleep: the fake disk is slow\n    fn t() { std::thread::sleep(d) }\n}\n";
        assert!(findings_in("core/src/lib.rs", allowed).is_empty());
    }

    #[test]
    fn a_timer_in_a_workflow_is_no_sleep() {
        let workflow = "\"\"\"Why.\"\"\"\n\n@workflow.defn\nclass W:\n    @workflow.run\n    async def run(self):\n        await asyncio.sleep(1)\n";
        assert!(findings_in("sdk-python/tests/test_a.py", workflow).is_empty());
        let test = "\"\"\"Why.\"\"\"\n\nasync def test_a():\n    await asyncio.sleep(1)\n";
        assert_eq!(findings_in("sdk-python/tests/test_a.py", test).len(), 1);
        let other =
            "\"\"\"Why.\"\"\"\n\nclass W:\n    async def run(self):\n        await asyncio.sleep(1)\n";
        assert_eq!(findings_in("sdk-python/tests/test_a.py", other).len(), 1);
    }

    #[test]
    fn our_package_imports_no_protobuf_runtime() {
        let text = "\"\"\"Why.\"\"\"\nfrom google.protobuf import message\n";
        assert_eq!(findings_in("sdk-python/durably/a.py", text).len(), 1);
    }
}
