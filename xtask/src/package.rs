//! `cargo xtask package`: makes what a user installs in a project of their own, below `target/package`: a wheel for Python,
//! tarballs for npm, a module for Go that has the library inside.
//!
//! `--profile dev` makes the same from the dev build that the tests share, in `target/package/dev`: what is tested is how
//! packages are made and installed, and nothing is compiled for it alone.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::go::{self, Profile};
use crate::python;
use crate::shell::{self, Failure, Shell, heading};
use crate::suites;
use crate::tally::Count;
use crate::typescript_programs;

#[derive(Args)]
pub(crate) struct PackageArgs {
    /// The language
    #[arg(long, value_enum)]
    lang: Lang,
    /// How it is compiled; `dev` is what tests use, and goes to target/package/dev
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
}

/// The languages that have a package.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Lang {
    Python,
    Typescript,
    Go,
}

impl Lang {
    fn folder(self) -> &'static str {
        match self {
            Lang::Python => "python",
            Lang::Typescript => "typescript",
            Lang::Go => "go",
        }
    }

    /// What cargo builds for the package alone; Python's sees to that itself.
    fn selection(self) -> Option<&'static [&'static str]> {
        match self {
            Lang::Python => None,
            Lang::Typescript => {
                Some(&["--example", "typescript", "-p", "durably-proto", "-p", "durably-bridge-node"])
            }
            Lang::Go => Some(&["-p", "durably-bridge-c"]),
        }
    }

    /// What to type in a project of one's own.
    fn installation(self, folder: &Path) -> String {
        let folder = folder.display();
        match self {
            // The version stays the same while the contents change.
            Lang::Python => format!("pip install --force-reinstall {folder}/*.whl"),
            Lang::Typescript => format!("npm install {folder}/*.tgz"),
            Lang::Go => format!("go mod edit -replace durably.dev/sdk={folder} && go mod tidy"),
        }
    }
}

pub(crate) fn run(shell: &Shell, args: &PackageArgs) -> Result<(), Failure> {
    if args.profile == Profile::Release
        && let Some(selection) = args.lang.selection()
    {
        suites::build_release_for(shell, selection)?;
    }
    let folder = make(shell, args.lang, args.profile)?;
    heading("done; in a project of your own");
    println!("{}", args.lang.installation(&folder));
    Ok(())
}

/// Where the packages of all languages lie.
fn home(shell: &Shell, profile: Profile) -> PathBuf {
    let packages = shell.target().join("package");
    match profile {
        Profile::Debug => packages.join("dev"),
        Profile::Release => packages,
    }
}

/// Makes the package of a language, once in each run of this program; gives its folder.
pub(crate) fn make(shell: &Shell, lang: Lang, profile: Profile) -> Result<PathBuf, Failure> {
    let folder = home(shell, profile).join(lang.folder());
    shell.once(&format!("package {}", folder.display()), || {
        let make = match lang {
            Lang::Python => python::pack,
            Lang::Typescript => typescript_programs::pack,
            Lang::Go => go::pack,
        };
        make(shell, profile, &folder)
    })?;
    Ok(folder)
}

/// An empty folder in place of what was there.
pub(crate) fn emptied(folder: &Path) -> Result<(), Failure> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("cannot make {}: {error}", folder.display())))
}

/// What may be taken out of a library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strip {
    /// What only debuggers read: most of its size. A library that is still to be linked needs its symbols.
    DebugInfo,
    /// Symbols too, but for those that are exported.
    Symbols,
}

/// Copies a library without what its users don't need.
pub(crate) fn copy_stripped(shell: &Shell, strip: Strip, from: &Path, to: &Path) -> Result<(), Failure> {
    let mut command = shell.command("strip");
    command.arg("-S");
    if strip == Strip::Symbols {
        command.arg("-x");
    }
    shell::quiet(command.arg("-o").arg(to).arg(from)).map(drop).map_err(|failure| {
        Failure::new(format!(
            "{failure}\n`strip` comes with the linker: binutils, or Xcode's command line tools"
        ))
    })
}

/// The commands of the READMEs, in folders that are empty.
pub(crate) fn tests(shell: &Shell) -> Result<Count, Failure> {
    for lang in Lang::value_variants() {
        make(shell, *lang, Profile::Debug)?;
    }
    let packages = home(shell, Profile::Debug);
    let venv = suites::package_venv(shell)?;
    suites::pytest(shell, &venv, &["tests/install"], &[("DURABLY_PACKAGES", &packages.to_string_lossy())])
}
