//! `standin`: a Prow and a Slack for deployments that are tried elsewhere.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use prow_notifier::http::Http;
use serde_json::{Value, json};

use crate::{context::failed, program::program};

/// What messages may ring.
const MENTION: &str = "<!subteam^S0123ABCD>";

/// The running command; killed when dropped.
struct Standin {
    child: Child,
    /// Where it said that each part is: deck, bucket, slack, control.
    urls: [String; 4],
}

impl Standin {
    fn start() -> Self {
        let free = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
            .args(["standin", "--deck", free, "--bucket", free])
            .args(["--slack", free, "--mention", MENTION, "--control", free])
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let urls = ["deck", "bucket", "slack", "control"].map(|part| {
            let line = lines.next().unwrap().unwrap();
            let url = line.strip_prefix(&format!("{part} at "));
            url.unwrap_or_else(|| panic!("{line}")).to_owned()
        });
        Self { child, urls }
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn it_shows_what_it_was_told_and_tells_what_it_was_sent() {
    let standin = Standin::start();
    let [deck, bucket, slack, control] = &standin.urls;
    let http = Http::new().unwrap().open().clone();
    let get = async |url: String| http.get(url).send().await.unwrap().text().await.unwrap();

    let job = failed("s3", 1);
    let added = http
        .post(format!("{control}/deck/jobs"))
        .json(&job.to_json());
    assert_eq!(added.send().await.unwrap().status(), 204);
    let listed = get(format!("{deck}/prowjobs.js")).await;
    assert!(listed.contains(&job.name()), "{listed}");

    let stored = http.put(format!("{control}/bucket/logs/a/build-log.txt"));
    assert_eq!(stored.body("broken").send().await.unwrap().status(), 204);
    assert_eq!(
        get(format!("{bucket}/logs/a/build-log.txt")).await,
        "broken"
    );

    let busy = json!({ "status": 429, "headers": [["Retry-After", "3"]] });
    let forced = http.post(format!("{control}/slack/force/HOOK")).json(&busy);
    assert_eq!(forced.send().await.unwrap().status(), 204);
    let message = json!({ "text": "hello", "unfurl_links": false, "unfurl_media": false });
    let say = || http.post(slack).json(&message).send();
    assert_eq!(say().await.unwrap().headers()["retry-after"], "3");
    assert_eq!(say().await.unwrap().status(), 200);
    let told: Value = serde_json::from_str(&get(format!("{control}/slack")).await).unwrap();
    assert_eq!(told["messages"][0]["hook"], "HOOK");
    assert!(
        told["messages"][0]["text"]
            .as_str()
            .unwrap()
            .contains("hello")
    );
    assert_eq!(told["answers"][0]["status"], 429);
    assert_eq!(told["refused"], json!([]));
}

#[tokio::test]
async fn only_mentions_that_it_was_told_of_may_stand_in_a_message() {
    let standin = Standin::start();
    let http = Http::new().unwrap().open().clone();
    let slack = &standin.urls[2];
    for (mention, status) in [(MENTION, 200), ("<!channel>", 400)] {
        let message = json!({ "text": mention, "unfurl_links": false, "unfurl_media": false });
        let said = http.post(slack).json(&message).send().await.unwrap();
        assert_eq!(said.status(), status, "{mention}");
    }
}

#[test]
fn it_says_what_it_could_be() {
    let said = program(&["standin"]).run().refused();
    assert!(said.contains("give --deck, --bucket or --slack"), "{said}");
}
