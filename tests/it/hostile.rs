//! Text from outside that wants to ring a channel, break out of the layout, or confuse whoever reads the log:
//! Slack's limits and escapes hold, the message comes all the same, and the log stays one line per entry.

use prow_notifier::standin::slack::Message;
use serde_json::{Value, json};

use crate::context::{Context, Metrics, Reply, Setup, failed, run, text};

/// What somebody might write, by what it is meant to do.
fn evil() -> Vec<(&'static str, String)> {
    vec![
        (
            "ring",
            "<!channel> <!here> <!everyone> <@U012AB3CD> <!subteam^S012|x> @channel".to_owned(),
        ),
        (
            "link",
            "<https://evil.example/?a=b&c=d|click me> https://evil.example javascript:alert(1)"
                .to_owned(),
        ),
        (
            "turn",
            "\u{202e}gpj.exe\u{2066}\u{2069}\u{200f}\u{200b}\u{feff}".to_owned(),
        ),
        (
            "control",
            "a\u{0}b\u{1b}[31mred\u{7}\r\n{\"level\":\"ERROR\"}\u{85}\u{2028}x\u{9b}31m".to_owned(),
        ),
        (
            "fence",
            "` `` ``` *b* _i_ ~s~ > quote &lt;!channel&gt; &amp;".to_owned(),
        ),
        ("emoji", "🔥👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 :boom: ".repeat(30)),
        ("long", "x".repeat(10_000)),
        ("long entities", "<&>".repeat(3_334)),
        ("long emoji", "👩‍👩‍👧‍👦".repeat(400)),
        ("nothing", "   ".to_owned()),
    ]
}

/// Where outside text stands in a ProwJob.
const FIELDS: [&str; 16] = [
    "/spec/job",
    "/spec/refs/org",
    "/spec/refs/repo",
    "/spec/refs/base_ref",
    "/spec/refs/base_sha",
    "/spec/refs/base_link",
    "/spec/refs/repo_link",
    "/spec/refs/pulls/0/author",
    "/spec/refs/pulls/0/sha",
    "/spec/cluster",
    "/status/description",
    "/status/url",
    "/status/build_id",
    "/metadata/labels/prow.k8s.io~1job",
    "/metadata/annotations/prow-notifier.io~1stage",
    "/metadata/annotations/prow-notifier.io~1runbook",
];

/// A failed run, unlike every other one, with this text in these fields.
fn tainted(number: usize, fields: &[&str], text: &str) -> Value {
    let mut job = failed("s3", 1).to_json();
    job["metadata"]["name"] = json!(format!("tainted-{number}"));
    job["spec"]["refs"]["base_ref"] = json!(format!("branch-{number}"));
    job["spec"]["refs"]["pulls"] = json!([{"number": 103, "author": "octocat", "sha": "0a1b"}]);
    let annotations = &mut job["metadata"]["annotations"];
    annotations["prow-notifier.io/stage"] = json!(format!("stage-{number}"));
    annotations["prow-notifier.io/runbook"] = json!("https://runbooks.example.com/");
    for field in fields {
        *job.pointer_mut(field).unwrap() = json!(text);
    }
    job
}

/// Sends all of it and waits until all is told: each run has a cause of its own, and so a message of its own.
async fn all_are_told(ctx: &Context, jobs: &[Value]) -> Vec<Message> {
    let told = |metrics: &Metrics| metrics.decided("notify") + metrics.decided("unmatched");
    let before = told(&ctx.metrics().await);
    for job in jobs {
        let reply = Reply::to(ctx.post("/hooks/prowjob", job.to_string())).await;
        assert_eq!(reply.status, 202, "{}", reply.text);
    }
    let metrics = ctx.settle().await;
    assert_eq!(told(&metrics) - before, jobs.len() as u64);
    assert_eq!(metrics.sum("dead_letters_total"), 0);
    assert_eq!(metrics.sum("fallback_layouts_total"), 0);
    assert_eq!(ctx.slack.violations(), []);
    let messages = ctx.messages(ctx.unread()).await;
    assert!(messages.len() >= jobs.len());
    messages
}

/// No entry of the log is more than one line, and none changes the colour or direction of a terminal.
fn log_is_harmless(ctx: &Context) {
    for line in ctx.log() {
        let obeyed = |c: char| {
            c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!line.contains(obeyed), "{line:?}");
        let entry: Value = serde_json::from_str(&line).unwrap();
        assert!(
            entry["target"]
                .as_str()
                .unwrap()
                .starts_with("prow_notifier"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn hostile_text_in_any_one_field_does_no_harm() {
    run(Setup::default().unpaced(), async |ctx| {
        let texts = evil();
        let all = texts
            .iter()
            .flat_map(|(_, text)| FIELDS.iter().map(move |field| (field, text)));
        let jobs: Vec<Value> = all
            .enumerate()
            .map(|(number, (field, text))| tainted(number, &[field], text))
            .collect();
        for some in jobs.chunks(FIELDS.len()) {
            for message in all_are_told(ctx, some).await {
                let shown = message.payload.to_string();
                for live in [
                    "<!channel",
                    "<!here",
                    "<!everyone",
                    "<@U",
                    "<!subteam",
                    "<https://evil",
                    "javascript:alert(1)|",
                ] {
                    assert!(!shown.contains(live), "{live} in {shown}");
                }
            }
        }
        log_is_harmless(ctx);
    })
    .await;
}

#[tokio::test]
async fn hostile_text_in_all_fields_at_once_does_no_harm() {
    run(Setup::default().unpaced(), async |ctx| {
        let texts = evil();
        let jobs: Vec<Value> = texts
            .iter()
            .enumerate()
            .map(|(number, (_, text))| tainted(number, &FIELDS, text))
            .collect();
        for message in all_are_told(ctx, &jobs).await {
            assert!(text(&message).contains("id:"));
        }
        log_is_harmless(ctx);
    })
    .await;
}

#[tokio::test]
async fn a_hostile_run_name_is_found_again_and_harms_no_log() {
    run(Setup::default(), async |ctx| {
        let mut job = failed("s3", 1).to_json();
        let name = "<!channel>\u{1b}[2J\u{202e}\n\"},{\"level\":\"ERROR\"";
        job["metadata"]["name"] = json!(name);
        let reply = Reply::to(ctx.post("/hooks/prowjob", job.to_string())).await;
        assert_eq!(reply.status, 202);
        ctx.messages(2).await;
        assert_eq!(ctx.explain(name).unwrap()["run"]["name"], name);
        log_is_harmless(ctx);
    })
    .await;
}

#[tokio::test]
async fn a_hostile_author_and_title_of_a_commit_do_no_harm() {
    run(Setup::default().unpaced(), async |ctx| {
        let status: Value = serde_json::from_str(include_str!(
            "../data/prow/webhooks/github-status-failure.json"
        ))
        .unwrap();
        for (number, (_, text)) in evil().into_iter().enumerate() {
            let mut status = status.clone();
            let now = prow_notifier::clock::Clock::System.now().to_string();
            status["updated_at"] = json!(now);
            status["target_url"] = json!(format!(
                "https://prow.example.com/view/s3/b/logs/s3-post-submit/{number}"
            ));
            for field in [
                "/description",
                "/context",
                "/commit/author/login",
                "/commit/commit/author/name",
                "/commit/commit/message",
            ] {
                *status.pointer_mut(field).unwrap() = json!(text);
            }
            status["branches"] = json!([{"name": text}]);
            let request = ctx
                .post("/hooks/github", status.to_string())
                .header("X-GitHub-Event", "status");
            let reply = Reply::to(request).await;
            // Without a context there is no job to speak of.
            assert!(
                reply.status == 202 || text.trim().is_empty(),
                "{} {text}",
                reply.text
            );
        }
        let metrics = ctx.settle().await;
        assert!(metrics.sum("observations_total") >= 9);
        assert_eq!(
            metrics.decided("unmatched"),
            metrics.sum("observations_total")
        );
        let told = ctx.messages(ctx.unread()).await;
        assert!(!told.is_empty());
        assert_eq!(ctx.slack.violations(), []);
        log_is_harmless(ctx);
    })
    .await;
}
