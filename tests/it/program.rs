//! The program as a command that ends: its output and exit code. The environment is empty but for what a test
//! sets.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Data.
    pub(crate) stdout: String,
    /// Talk.
    pub(crate) stderr: String,
}

/// A command of the program, ready to run.
pub(crate) struct Program {
    command: Command,
    input: Vec<u8>,
}

/// A command line without the program's name.
pub(crate) fn program(args: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prow-notifier"));
    command
        .args(args)
        .env_clear()
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    Program {
        command,
        input: Vec::new(),
    }
}

impl Program {
    /// With this configuration.
    pub(crate) fn config(mut self, path: impl AsRef<OsStr>) -> Self {
        self.command.arg("--config").arg(path);
        self
    }

    /// With more arguments.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// With this on standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Runs it to its end.
    pub(crate) fn run(mut self) -> Ran {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = self.input;
        // A program that reads no input may have ended by now.
        let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        Ran {
            code: output.status.code().expect("it was not killed"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Its output, once it ended well.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// What it complained of, once it ended as on a usage or configuration error.
    pub(crate) fn refused(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{self:#?}");
        self.stderr
    }
}

/// A path inside the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// No environment at all.
pub(crate) fn no_environment() -> BTreeMap<String, String> {
    BTreeMap::new()
}
