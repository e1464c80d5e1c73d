//! Virtual environments under `target/`: one for our package, one for the official SDK, one for the demo.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shell::{self, Failure, Shell};

/// Asks an interpreter for what `venv` needs of it; exits with 1 when it is too old.
const SUITABLE: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))";

/// A virtual environment that exists.
pub(crate) struct Venv {
    dir: PathBuf,
}

impl Venv {
    /// The environment `target/<name>`, created if it isn't there.
    pub(crate) fn ensure(shell: &Shell, name: &str) -> Result<Self, Failure> {
        let venv = Self { dir: shell.target().join(name) };
        // An environment whose interpreter has gone (an upgrade, a moved tree) is made anew.
        let alive = venv.python().exists()
            && shell::quiet(shell.command(venv.python()).args(["-c", "import pip"])).is_ok();
        if !alive {
            let python = interpreter(shell)?;
            println!("creating {}", crate::relative(shell.root(), &venv.dir));
            shell::run(shell.command(python).args(["-m", "venv", "--clear"]).arg(&venv.dir))?;
        }
        Ok(venv)
    }

    /// As `ensure`, with everything in a requirements file; pip runs only when that file has changed.
    pub(crate) fn with_requirements(shell: &Shell, name: &str, requirements: &str) -> Result<Self, Failure> {
        let venv = Self::ensure(shell, name)?;
        let file = shell.root().join(requirements);
        let wanted = fs::read_to_string(&file)
            .map_err(|error| Failure::new(format!("cannot read {requirements}: {error}")))?;
        let stamp = venv.dir.join(".installed-requirements");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(venv);
        }
        shell::run(
            shell
                .command(venv.python())
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&file),
        )?;
        fs::write(stamp, wanted)?;
        Ok(venv)
    }

    pub(crate) fn python(&self) -> PathBuf {
        if cfg!(windows) {
            self.dir.join("Scripts").join("python.exe")
        } else {
            self.dir.join("bin").join("python")
        }
    }

    /// The environment `target/demo-venv` with our package installed the way a user installs it: as a release
    /// wheel that pip builds from `sdk-python`. It shares `target/` with cargo, so only what has changed compiles.
    pub(crate) fn with_our_wheel(shell: &Shell) -> Result<Self, Failure> {
        let venv = Self::ensure(shell, "demo-venv")?;
        // pip hides a compiler's progress; so cargo compiles first, in the open, what pip's build then finds done.
        let mut cargo = shell.cargo(["build", "--release", "-p", "durably-bridge-python"]);
        shell::run(cargo.args(["--features", "pyo3/extension-module"]))?;
        shell::run(
            shell
                .command(venv.python())
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--disable-pip-version-check",
                    "--force-reinstall",
                    "./sdk-python",
                ])
                .env("CARGO_TARGET_DIR", shell.target()),
        )?;
        Ok(venv)
    }

    /// Makes `sdk-python` importable from its sources, with the extension module that cargo has just built.
    ///
    /// It is what an editable install amounts to, without a second compilation by a build backend.
    pub(crate) fn link_package(&self, shell: &Shell, profile: &str) -> Result<(), Failure> {
        let built = shell.target().join(profile).join(if cfg!(target_os = "macos") {
            "lib_bridge.dylib"
        } else if cfg!(windows) {
            "_bridge.dll"
        } else {
            "lib_bridge.so"
        });
        let package = shell.root().join("sdk-python");
        let module =
            package.join("durably").join(if cfg!(windows) { "_bridge.pyd" } else { "_bridge.abi3.so" });
        // Written beside and renamed: a process that has the old one mapped keeps it.
        let fresh = module.with_extension("new");
        fs::copy(&built, &fresh)
            .and_then(|_| fs::rename(&fresh, &module))
            .map_err(|error| Failure::new(format!("cannot place {}: {error}", built.display())))?;
        let site = shell::quiet(
            shell
                .command(self.python())
                .args(["-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]),
        )?;
        fs::write(
            Path::new(site.trim()).join("durably-development.pth"),
            format!("{}\n", package.display()),
        )?;
        Ok(())
    }
}

/// The release of that interpreter.
pub(crate) fn release(shell: &Shell) -> Result<String, Failure> {
    let version = shell::quiet(shell.command(interpreter(shell)?).arg("--version"))?;
    Ok(version.trim().trim_start_matches("Python ").to_owned())
}

/// The first suitable interpreter: `DURABLY_PYTHON` if it is set, else the usual names.
fn interpreter(shell: &Shell) -> Result<PathBuf, Failure> {
    if let Some(chosen) = std::env::var_os("DURABLY_PYTHON") {
        return match shell::quiet(shell.command(&chosen).args(["-c", SUITABLE])) {
            Ok(_) => Ok(chosen.into()),
            Err(failure) => Err(Failure::new(format!(
                "DURABLY_PYTHON is not a Python 3.10 or newer with venv: {failure}"
            ))),
        };
    }
    for name in ["python3", "python", "python3.13", "python3.12", "python3.11", "python3.10"] {
        if shell::quiet(shell.command(name).args(["-c", SUITABLE])).is_ok() {
            return Ok(name.into());
        }
    }
    Err(Failure::new(
        "Python 3.10 or newer with the modules venv and ensurepip is needed. Debian and Ubuntu: \
         `apt-get install python3 python3-venv`; elsewhere https://www.python.org/downloads. \
         DURABLY_PYTHON may name the interpreter to use.",
    ))
}
