//! The toolchains that commands build on: which release each must be at least, and what to do if it is missing.

use crate::python;
use crate::shell::{self, Failure, Shell};

/// What must be on the machine before us; everything else installs itself below `target/`.
pub(crate) struct Toolchain {
    pub(crate) name: &'static str,
    program: &'static str,
    version: &'static str,
    /// The first release that will do.
    least: (u32, u32),
    /// Where it comes from.
    remedy: &'static str,
    /// Examples of its language are left out without it; whatever else is missing fails the suites that need it.
    pub(crate) is_optional: bool,
}

pub(crate) const PYTHON: Toolchain = Toolchain {
    name: "Python",
    program: "python3",
    version: "--version",
    least: (3, 10),
    remedy: "https://www.python.org/downloads",
    is_optional: false,
};
pub(crate) const GO: Toolchain = Toolchain {
    name: "Go",
    program: "go",
    version: "version",
    least: (1, 25),
    remedy: "https://go.dev/dl",
    is_optional: false,
};
pub(crate) const NODE: Toolchain = Toolchain {
    name: "Node.js",
    program: "node",
    version: "--version",
    least: (20, 0),
    remedy: "https://nodejs.org",
    is_optional: false,
};
pub(crate) const NPM: Toolchain = Toolchain {
    name: "npm",
    program: "npm",
    version: "--version",
    least: (9, 0),
    remedy: "it comes with Node.js, https://nodejs.org; some systems have it as a package of its own",
    is_optional: false,
};
pub(crate) const GCC: Toolchain = Toolchain {
    name: "gcc",
    program: "gcc",
    version: "--version",
    least: (9, 0),
    remedy: "the system's package manager has it (`apt-get install gcc libc6-dev`)",
    is_optional: false,
};
pub(crate) const JAVA: Toolchain = Toolchain {
    name: "Java",
    program: "javac",
    version: "-version",
    least: (17, 0),
    remedy: "https://adoptium.net",
    is_optional: true,
};

/// All but Rust, which runs this.
const ALL: &[&Toolchain] = &[&PYTHON, &GO, &NODE, &NPM, &GCC, &JAVA];

impl Toolchain {
    /// The release that is here, or what to do about its lack.
    pub(crate) fn release(&self, shell: &Shell) -> Result<String, Failure> {
        if self.name == PYTHON.name {
            return python::release(shell);
        }
        let (major, minor) = self.least;
        let (name, program, remedy) = (self.name, self.program, self.remedy);
        let wanted = format!("{name} {major}.{minor} or later is needed: {remedy}");
        let Ok(answer) = shell::quiet(shell.command(program).arg(self.version)) else {
            return Err(Failure::new(format!("there is no `{program}`; {wanted}")));
        };
        let release = release_in(&answer);
        if numbers(&release) < self.least {
            return Err(Failure::new(format!("`{program}` is of release {release}; {wanted}")));
        }
        Ok(release)
    }

    /// Why it can't be used, if it can't.
    pub(crate) fn lack(&self, shell: &Shell) -> Option<String> {
        self.release(shell).err().map(|failure| failure.to_string())
    }
}

/// Says which toolchains are here and which are missing.
pub(crate) fn report(shell: &Shell) {
    for toolchain in ALL {
        match toolchain.release(shell) {
            Ok(release) => println!("{:<10} {release}", toolchain.name),
            Err(failure) => println!("{:<10} MISSING: {failure}", toolchain.name),
        }
    }
}

/// The 1.26.8 of `go version go1.26.8 linux/amd64`: the last dotted number of the first line that has one, or the first number.
fn release_in(answer: &str) -> String {
    let line = answer.lines().find(|line| line.contains(|c: char| c.is_ascii_digit())).unwrap_or_default();
    let words = || line.split(|c: char| !c.is_ascii_digit() && c != '.').filter(|word| !word.is_empty());
    words()
        .rev()
        .find(|word| word.trim_matches('.').contains('.'))
        .or_else(|| words().next())
        .unwrap_or("0")
        .to_owned()
}

fn numbers(release: &str) -> (u32, u32) {
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_what_a_toolchain_says_of_itself() {
        let said = [
            ("go version go1.26.8 linux/amd64", (1, 26)),
            ("v20.20.2\n", (20, 20)),
            ("11.19.1\n", (11, 19)),
            ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright (C) 2022", (12, 2)),
            ("javac 17.0.15\n", (17, 0)),
            ("javac 25\n", (25, 0)),
            ("nothing", (0, 0)),
        ];
        for (answer, release) in said {
            assert_eq!(numbers(&release_in(answer)), release, "{answer}");
        }
    }
}
