//! Running the command and reading what it printed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The command as it was built for the tests.
pub fn binary() -> PathBuf {
    // The test binary lies in `deps`, the program in the folder above.
    let mut path = std::env::current_exe().expect("the test binary has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("shardmill-under-test")
}

/// What a run left.
#[derive(Debug)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The one JSON object on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_str(self.stdout.trim()).unwrap_or_else(|e| panic!("not one JSON object ({e}): {self:?}"))
    }

    /// The run succeeded; its JSON.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 0, "{self:?}");
        self.json()
    }

    /// The run failed with this status, and its message contains all of these.
    pub fn fails(&self, status: i32, needles: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        let text = format!("{}{}", self.stderr, self.stdout);
        for needle in needles {
            assert!(text.contains(needle), "`{needle}` is not in: {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
}

/// How commands are run: over a folder of their own, or against a cluster.
#[derive(Clone, Debug)]
pub struct Shardmill {
    pub dir: PathBuf,
    pub cluster: Option<String>,
    pub extra: Vec<String>,
}

impl Shardmill {
    /// An embedded cluster over `dir/data`, run in `dir`.
    pub fn embedded(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf(), cluster: None, extra: Vec::new() }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(&self.dir).arg("--json").args(&self.extra);
        match &self.cluster {
            Some(url) => command.args(["--cluster", url]),
            None => command.args(["--data-dir", "data"]),
        };
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("SHARDMILL_")) {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        let output = self.command(args).output().expect("the command starts");
        Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs with these bytes on standard input.
    pub fn run_with_input(&self, args: &[&str], input: &[u8]) -> Outcome {
        use std::io::Write;
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the command starts");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // The command may refuse before it has read everything.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("the command ends");
        writer.join().expect("the writer ends");
        Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn ok(&self, args: &[&str]) -> Value {
        self.run(args).ok()
    }

    /// A dataset as CSV text.
    pub fn csv(&self, dataset: &str) -> String {
        let out = self.run(&["dataset", "export", dataset, "--to", "-", "--format", "csv"]);
        assert_eq!(out.status, 0, "{out:?}");
        out.stdout
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.dir.join(name), content).expect("a test file can be written");
        name.to_owned()
    }
}
