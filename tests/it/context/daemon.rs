//! The program as a child process: learns from its log where it listens, stops it, or kills it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tokio::sync::watch;

use super::DEADLINE;

/// The running program; killed when dropped.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Closed when the program has ended.
    log: watch::Receiver<Vec<String>>,
}

impl Daemon {
    /// Starts it and waits until it listens.
    pub(crate) async fn start(config: &Path) -> Self {
        Self::start_with(config, &[]).await
    }

    /// The same with these variables in its environment, which is else empty.
    pub(crate) async fn start_with(config: &Path, env: &[(&str, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
            .arg("--config")
            .arg(config)
            .arg("serve")
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = watch::channel(Vec::new());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.send_modify(|lines| lines.push(line));
            }
        });
        let mut daemon = Self {
            child,
            address: ([0, 0, 0, 0], 0).into(),
            log,
        };
        let listening = daemon.logged("Listening on", 0).await;
        daemon.address = listening["server.address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        daemon
    }

    /// Its log lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.borrow().clone()
    }

    /// Waits for a log line with this in its message, after so many lines.
    pub(crate) async fn logged(&self, words: &str, after: usize) -> Value {
        let find = |lines: &Vec<String>| {
            let mut entries = lines
                .iter()
                .skip(after)
                .filter_map(|line| serde_json::from_str(line).ok());
            entries.find(|entry: &Value| {
                entry["message"]
                    .as_str()
                    .is_some_and(|message| message.contains(words))
            })
        };
        let mut log = self.log.clone();
        let found =
            tokio::time::timeout(DEADLINE, log.wait_for(|lines| find(lines).is_some())).await;
        let Ok(Ok(lines)) = found.map(|found| found.map(|lines| lines.clone())) else {
            panic!("{words:?} was never logged:\n{}", self.log().join("\n"));
        };
        find(&lines).unwrap()
    }

    /// Asks it to stop, as Kubernetes does.
    pub(crate) fn terminate(&self) {
        let asked = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.child.id())])
            .status()
            .unwrap();
        assert!(asked.success());
    }

    /// Waits for the end; `None` when it was killed.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let mut log = self.log.clone();
        // Its log ends with it.
        let closed = tokio::time::timeout(DEADLINE, log.wait_for(|_| false)).await;
        assert!(
            closed.is_ok(),
            "the daemon does not stop:\n{}",
            self.log().join("\n")
        );
        self.child.wait().unwrap().code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
