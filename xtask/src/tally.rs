//! Counts what the suites report, so that a whole run can end in one line.

use std::time::{Duration, Instant};

use crate::shell::Failure;

/// What one suite came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    pub(crate) fn of(success: bool) -> Self {
        if success { Self { passed: 1, failed: 0 } } else { Self { passed: 0, failed: 1 } }
    }

    /// A suite that has found nothing to run has proved nothing.
    pub(crate) fn of_something(self) -> Result<Self, Failure> {
        if self == Self::default() {
            return Err(Failure::new("it ran no test at all: what finds or counts its tests is broken"));
        }
        Ok(self)
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }

    /// A suite that ended badly has failed, even where no single case says so (it did not compile, or crashed).
    pub(crate) fn and_exit(self, success: bool) -> Self {
        if success || self.failed > 0 { self } else { Self { failed: 1, ..self } }
    }
}

/// All suites of one run, in order.
pub(crate) struct Tally {
    started: Instant,
    suites: Vec<(String, Count, Duration)>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), suites: Vec::new() }
    }

    pub(crate) fn add(&mut self, suite: &str, count: Count, took: Duration) {
        self.suites.push((suite.to_owned(), count, took));
    }

    pub(crate) fn total(&self) -> Count {
        self.suites.iter().fold(Count::default(), |sum, (_, count, _)| sum.plus(*count))
    }

    /// The table of suites; its last line is the plain `N passed, N failed`.
    pub(crate) fn summary(&self) -> String {
        let mut lines = Vec::new();
        for (suite, count, took) in &self.suites {
            let mark = if count.failed == 0 { "ok" } else { "FAILED" };
            let seconds = took.as_secs_f64();
            lines.push(format!(
                "{suite:<34} {:>6} passed {:>4} failed {seconds:>7.1} s  {mark}",
                count.passed, count.failed
            ));
        }
        lines.push(format!("{:<34} {:>34.1} s", "all", self.started.elapsed().as_secs_f64()));
        let total = self.total();
        lines.push(format!("{} passed, {} failed", total.passed, total.failed));
        lines.join("\n")
    }
}

/// Sums the lines `test result: ok. 3 passed; 0 failed; …` that each test binary of cargo ends with.
pub(crate) fn count_cargo(stdout: &str) -> Count {
    sum(stdout.lines().filter(|line| line.trim_start().starts_with("test result:")))
}

/// Reads the last line of pytest, such as `2 failed, 10 passed, 1 skipped in 3.21s`.
pub(crate) fn count_pytest(stdout: &str) -> Count {
    let last = stdout
        .lines()
        .rev()
        .find(|line| line.contains(" in ") && (line.contains("passed") || has_failure(line)));
    sum(last.into_iter())
}

/// Reads the lines `pass 3` and `fail 0` that Node's test runner ends with, behind whatever mark its reporter likes.
pub(crate) fn count_node(stdout: &str) -> Count {
    let figure = |word: &str| {
        let mut lines =
            stdout.lines().rev().map(|line| line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()));
        lines.find_map(|line| line.strip_prefix(word)?.trim().parse().ok()).unwrap_or(0)
    };
    Count { passed: figure("pass "), failed: figure("fail ") + figure("cancelled ") }
}

fn has_failure(line: &str) -> bool {
    line.contains("failed") || line.contains("error")
}

fn sum<'a>(lines: impl Iterator<Item = &'a str>) -> Count {
    let mut count = Count::default();
    for line in lines {
        let words: Vec<&str> = line
            .split(|c: char| c.is_whitespace() || c == ';' || c == ',' || c == '=')
            .filter(|w| !w.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<u64>() else { continue };
            match pair[1] {
                "passed" => count.passed += number,
                "failed" | "error" | "errors" => count.failed += number,
                _ => {}
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_the_binaries_of_a_cargo_run() {
        let stdout = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured\n\n\
                      test result: FAILED. 1 passed; 3 failed; 0 ignored\n";
        assert_eq!(count_cargo(stdout), Count { passed: 3, failed: 3 });
    }

    #[test]
    fn reads_what_pytest_ends_with() {
        assert_eq!(count_pytest("....\n4 passed in 0.12s\n"), Count { passed: 4, failed: 0 });
        assert_eq!(
            count_pytest("= 1 failed, 7 passed, 2 skipped, 1 error in 9.87s =\n"),
            Count { passed: 7, failed: 2 }
        );
    }

    #[test]
    fn reads_what_node_ends_with() {
        for mark in ["#", "ℹ"] {
            let stdout =
                format!("ok 1 - pass 9\n{mark} tests 6\n{mark} pass 3\n{mark} fail 2\n{mark} cancelled 1\n");
            assert_eq!(count_node(&stdout), Count { passed: 3, failed: 3 });
        }
    }

    #[test]
    fn a_crash_counts_as_a_failure_once() {
        assert_eq!(Count::default().and_exit(false), Count { passed: 0, failed: 1 });
        assert_eq!(Count { passed: 5, failed: 2 }.and_exit(false), Count { passed: 5, failed: 2 });
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert!(Count::default().of_something().is_err());
        assert!(Count::of(false).of_something().is_ok() && Count::of(true).of_something().is_ok());
    }

    #[test]
    fn the_summary_ends_with_the_plain_line() {
        let mut tally = Tally::new();
        tally.add("a", Count { passed: 2, failed: 0 }, Duration::from_secs(1));
        tally.add("b", Count { passed: 1, failed: 1 }, Duration::from_secs(1));
        assert!(tally.summary().ends_with("\n3 passed, 1 failed"));
    }
}
