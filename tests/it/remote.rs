//! Commands that work through a running daemon: as whom they act, and what they say when it refuses.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
};

use prow_notifier::standin::slack::Forced;
use serde_json::{Value, json};

use crate::{
    context::{Context, Reply, Setup, failed, hooks, passed, run},
    program::{Program, program},
};

const TOKEN: &str = "a-token-for-the-tests-of-ann";

/// A daemon that knows ann, and how she reaches it.
struct Reach {
    home: tempfile::TempDir,
}

impl Reach {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("tokens"), format!("ann: {TOKEN}\n")).unwrap();
        std::fs::write(home.path().join("token"), TOKEN).unwrap();
        std::fs::write(home.path().join("wrong"), "no-token-of-anybody-here").unwrap();
        Self { home }
    }

    fn setup(&self) -> Setup {
        let tokens = self.home.path().join("tokens");
        Setup::default().unpaced().with(&format!(
            "server: {{ access: {{ tokens_file: \"{}\" }} }}",
            tokens.display()
        ))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A command with ann's token, far from the daemon's configuration.
    fn ann(&self, ctx: &Context, args: &[&str]) -> Program {
        program(args)
            .env("PROW_NOTIFIER_URL", &format!("http://{}", ctx.address()))
            .args(["--token-file".into(), self.file("token").into_os_string()])
    }
}

/// The address of a server that has never heard of us, and answers once. On a thread, because a command blocks.
fn somebody_else() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    format!("http://{address}")
}

fn first(lines: &str) -> Value {
    serde_json::from_str(lines.lines().next().expect("a line")).unwrap()
}

async fn actions(ctx: &Context) -> Vec<Value> {
    let reply = Reply::to(ctx.request("GET", "/api/v1/actions")).await;
    let listed: Value = serde_json::from_str(&reply.text).unwrap();
    listed["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_silence_is_made_listed_and_ended_in_the_name_of_a_token() {
    let reach = Reach::new();
    run(reach.setup(), async |ctx| {
        let args = [
            "silence",
            "add",
            "service=\"s3\"",
            "--for",
            "2h",
            "--reason",
            "registry moves",
            "--format",
            "json",
        ];
        let made = first(&reach.ann(ctx, &args).run().ok());
        assert_eq!(
            (&made["author"], &made["standing"], &made["id"]),
            (&json!("ann"), &json!("active"), &json!(1))
        );
        ctx.webhook(&failed("s3", 2)).await;
        ctx.webhook(&failed("sqs", 2)).await;
        let told = ctx.messages(2).await;
        assert_eq!(hooks(&told), ["platform", "sqs"]);
        let listed = reach.ann(ctx, &["silence", "list"]).run().ok();
        assert!(
            listed.starts_with("1  active  ends in ")
                && listed.contains("by ann: registry moves")
                && listed.contains("service=\"s3\""),
            "{listed}"
        );
        let listed = reach.ann(ctx, &["silence", "list", "--format", "json"]);
        assert_eq!(first(&listed.run().ok())["hides"], 1);
        let ended = reach.ann(ctx, &["silence", "expire", "1"]).run().ok();
        assert!(ended.contains("expired  ended by ann"), "{ended}");
        // What is still broken is told at once.
        let told = ctx.messages(2).await;
        assert!(hooks(&told).contains(&"s3"), "{:?}", hooks(&told));
        let rest = reach.ann(ctx, &["silence", "list"]).run();
        assert_eq!(
            (rest.code, rest.stderr.as_str()),
            (0, "no silence is in force or to come\n")
        );
        let none = reach.ann(ctx, &["silence", "expire", "9"]).run();
        assert_eq!(
            (none.code, none.stderr.as_str()),
            (1, "there is no such silence; see silence list --all\n")
        );
        let done = actions(ctx).await;
        let who: Vec<_> = done.iter().map(|one| (&one["who"], &one["by"])).collect();
        assert_eq!(who, [(&json!("ann"), &json!("token")); 2]);
    })
    .await;
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let reach = Reach::new();
    run(reach.setup(), async |ctx| {
        let address = format!("http://{}", ctx.address());
        let expire = || program(&["silence", "expire", "1", "--url", &address]);
        let host = ctx.address();
        assert_eq!(
            expire().run().refused(),
            format!(
                "error: http://{host} wants to know who asks: give a token with --token-file or PROW_NOTIFIER_TOKEN\n"
            )
        );
        let unknown = expire().args(["--token-file".into(), reach.file("wrong").into_os_string()]);
        assert_eq!(
            unknown.run().refused(),
            format!(
                "error: http://{host} does not know this token: is it in the file at server.access.tokens_file?\n"
            )
        );
        let mut args = vec!["silence", "add", "service=\"s3\"", "--reason", "x", "--for", "90d"];
        let too_long = reach.ann(ctx, &args).run().refused();
        assert!(too_long.contains("silences.max"), "{too_long}");
        args.extend(["--author", "bob"]);
        let as_another = reach.ann(ctx, &args).run().refused();
        assert!(as_another.contains("goes by the token"), "{as_another}");
        let somebody = somebody_else();
        let other = program(&["silence", "list", "--url", &somebody]).run();
        assert_eq!(other.code, 1);
        assert!(
            other.stderr.contains("is it prow-notifier, of this version ("),
            "{}",
            other.stderr
        );
    })
    .await;
}

#[tokio::test]
async fn without_tokens_nobody_acts_through_a_daemon() {
    run(Setup::default(), async |ctx| {
        let address = format!("http://{}", ctx.address());
        for args in [&["silence", "expire", "1"], &["deliveries", "replay", "1"]] {
            let said = program(args).args(["--url", &address]).run().refused();
            assert!(said.contains("Set server.access.tokens_file"), "{said}");
        }
    })
    .await;
}

#[test]
fn a_daemon_that_is_not_there_is_told() {
    // Nothing listens on the port of discarded bytes.
    let ran = program(&["silence", "list", "--url", "http://127.0.0.1:9/"]).run();
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr
            .starts_with("error: no daemon answers at http://127.0.0.1:9"),
        "{}",
        ran.stderr
    );
}

#[tokio::test]
async fn dead_letters_are_listed_and_sent_again_through_a_daemon() {
    let reach = Reach::new();
    run(reach.setup(), async |ctx| {
        let gone = Forced::answer(302, "moved");
        ctx.slack.force("platform", gone);
        ctx.allow_error("");
        let run = failed("sqs", 2);
        ctx.webhook(&run).await;
        ctx.settle().await;
        let list = |args: &[&str]| {
            let program = reach.ann(ctx, &["deliveries", "list", "--format", "json"]);
            program.args(args).run().ok()
        };
        let dead = first(&list(&["--dead"]));
        assert_eq!(dead["receiver"], "platform");
        let id = dead["id"].to_string();
        let again = reach.ann(ctx, &["deliveries", "replay", &id]).run().ok();
        assert_eq!(again, "1 message is sent again\n");
        let told = ctx.messages(2).await;
        assert_eq!(hooks(&told), ["platform", "sqs"]);
        assert_eq!(list(&["--dead"]), "");
        let twice = reach.ann(ctx, &["deliveries", "replay", &id]).run();
        assert_eq!(twice.code, 1);
        let explained = reach.ann(ctx, &["explain", &run.name()]).run().ok();
        assert!(explained.contains("302"), "{explained}");
    })
    .await;
}

#[tokio::test]
async fn what_was_accepted_is_accounted_for_on_the_page_and_in_the_metrics() {
    run(Setup::default().unpaced(), async |ctx| {
        for service in ["s3", "sqs", "lambda"] {
            ctx.webhook(&failed(service, 9)).await;
            ctx.webhook(&passed(service, 4)).await;
        }
        // The same run again: accepted, and nothing new.
        ctx.webhook(&passed("s3", 20)).await;
        let metrics = ctx.settle().await;
        let decided = metrics.sum("decisions_total");
        assert_eq!(metrics.sum("observations_total"), decided);
        assert!(decided >= 7, "{decided}");
        let sum = format!("{decided} accepted = {decided} decided + 0 waiting + 0 set aside");
        for page in ["/trends", "/deliveries"] {
            let page = Reply::to(ctx.request("GET", page)).await.text;
            assert!(page.contains(&sum) && page.contains("adds up"), "{page}");
        }
        ctx.messages(ctx.unread()).await;
    })
    .await;
}
