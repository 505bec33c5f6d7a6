//! The demo as somebody starts it, once its story is over.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// The demo after its story.
pub(super) struct Demo {
    child: Child,
    /// Its address, without a path.
    pub(super) home: String,
    /// Who has it may act.
    pub(super) token: String,
}

impl Demo {
    pub(super) async fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
            .arg("demo")
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        loop {
            let line = lines.next_line().await.unwrap().expect("the demo goes on");
            if let Some((before, token)) = line.split_once("/login#") {
                let (_, address) = before.split_once("http://").unwrap();
                return Self {
                    child,
                    home: format!("http://{address}"),
                    token: token.to_owned(),
                };
            }
        }
    }

    pub(super) async fn stop(mut self) {
        self.child.kill().await.unwrap();
    }
}
