//! Virtual environments under `target/`: one for our package, one for the official SDK, one for the demo.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::go::Profile;
use crate::package::{self, Lang, Strip};
use crate::shell::{self, Failure, Shell};
use crate::suites;

/// The extension module in its package.
const MODULE: &str = if cfg!(windows) { "_bridge.pyd" } else { "_bridge.abi3.so" };

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
        shell::run(venv.pip(shell, "install").arg("-r").arg(&file))?;
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

    /// The environment `target/demo-venv` with our package installed the way a user installs it.
    pub(crate) fn with_our_wheel(shell: &Shell) -> Result<Self, Failure> {
        let wheels = package::make(shell, Lang::Python, Profile::Release)?;
        let venv = Self::ensure(shell, "demo-venv")?;
        let mut pip = venv.pip(shell, "install");
        // The version stays the same while the contents change.
        shell::run(pip.arg("--force-reinstall").args(suites::files_below(&wheels, "whl")?))?;
        Ok(venv)
    }

    fn pip(&self, shell: &Shell, command: &str) -> Command {
        let mut pip = shell.command(self.python());
        pip.args(["-m", "pip", command, "--quiet", "--disable-pip-version-check"]);
        pip
    }

    /// Makes `sdk-python` importable from its sources, with the extension module that cargo has just built.
    ///
    /// It is what an editable install amounts to, without a second compilation by a build backend.
    pub(crate) fn link_package(&self, shell: &Shell, profile: Profile) -> Result<(), Failure> {
        let built = extension(shell, profile);
        let package = shell.root().join("sdk-python");
        let module = package.join("durably").join(MODULE);
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

/// The extension module as cargo builds it.
fn extension(shell: &Shell, profile: Profile) -> PathBuf {
    let name = if cfg!(windows) { "_bridge".into() } else { format!("{DLL_PREFIX}_bridge") };
    shell.target().join(profile.folder()).join(name + DLL_SUFFIX)
}

/// Makes the wheel of `sdk-python` in a folder. maturin says what it is called and what its metadata are, as it does for
/// `pip install ./sdk-python`; what cargo has built is put in by us, since maturin would compile all of it once more.
pub(crate) fn pack(shell: &Shell, profile: Profile, folder: &Path) -> Result<(), Failure> {
    let venv = Venv::with_requirements(shell, "package-venv", "xtask/requirements-package.txt")?;
    match profile {
        Profile::Debug => suites::build_workspace(shell)?,
        Profile::Release => {
            shell::run(&mut shell.cargo(["build", "--release", "-p", "durably-bridge-python"]))?;
        }
    }
    package::emptied(folder)?;
    let staging = tempfile::tempdir_in(folder)?;
    let sdk = shell.root().join("sdk-python");
    let mut maturin = shell.command(venv.python());
    maturin.args(["-m", "maturin", "pep517", "write-dist-info", "--metadata-directory"]).arg(staging.path());
    shell::quiet(maturin.arg("--interpreter").arg(venv.python()).current_dir(&sdk))?;
    let modules = staging.path().join("durably");
    copy_modules(&sdk.join("durably"), &modules)?;
    package::copy_stripped(shell, Strip::Symbols, &extension(shell, profile), &modules.join(MODULE))?;
    let mut wheel = shell.command(venv.python());
    wheel.args(["-m", "wheel", "pack", "--dest-dir"]).arg(folder).arg(staging.path());
    shell::quiet(&mut wheel)?;
    Ok(())
}

/// Copies a package without what running and linking it has left there.
fn copy_modules(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            if name != "__pycache__" {
                copy_modules(&path, &to.join(name))?;
            }
        } else if path.extension().is_some_and(|ext| ext == "py" || ext == "pyi" || ext == "typed") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
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
