//! What the daemon does not let in: bodies over the cap, signatures that do not hold, bodies that cannot be
//! read, clients that are slow or many, and anything while its store cannot be written.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use prow_notifier::standin::slack::Forced;
use rusqlite::Connection;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::context::{Context, Reply, Setup, failed, hooks, passed, run, sign};

const HOOK: &str = "/hooks/prowjob";

/// Posts a body with this signature, or with none.
async fn post_with(ctx: &Context, body: &str, signature: Option<&str>) -> Reply {
    let mut request = ctx.request("POST", HOOK).body(body.to_owned());
    if let Some(signature) = signature {
        request = request.header("X-Hub-Signature-256", signature);
    }
    Reply::to(request).await
}

/// Sends bytes as they are and reads until the daemon closes the connection, or has answered and keeps it.
async fn exchange(ctx: &Context, sent: &[u8]) -> String {
    let mut stream = TcpStream::connect(ctx.address()).await.unwrap();
    stream.write_all(sent).await.unwrap();
    answer_on(&mut stream).await
}

async fn answer_on(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_one_byte_over_the_cap_is_told_before_its_signature_is_looked_at() {
    run(
        Setup::default().with("server: { max_body: 64KiB }"),
        async |ctx| {
            let cap = 64 << 10;
            let over = "x".repeat(cap + 1);
            assert_eq!(post_with(ctx, &over, Some("sha256=00")).await.status, 413);
            assert_eq!(post_with(ctx, &over, None).await.status, 413);
            let within = "x".repeat(cap);
            assert_eq!(post_with(ctx, &within, Some("sha256=00")).await.status, 401);
            // By its length alone, before any of it has come.
            let head = format!(
                "POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                cap + 1
            );
            assert!(
                exchange(ctx, head.as_bytes())
                    .await
                    .starts_with("HTTP/1.1 413 ")
            );
            // By counting, where no length is told.
            let head =
                format!("POST {HOOK} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunked = format!("{head}{:x}\r\n{over}\r\n0\r\n\r\n", over.len());
            assert!(
                exchange(ctx, chunked.as_bytes())
                    .await
                    .starts_with("HTTP/1.1 413 ")
            );
            let chunked = format!("{head}{:x}\r\n{within}\r\n0\r\n\r\n", within.len());
            assert!(
                exchange(ctx, chunked.as_bytes())
                    .await
                    .starts_with("HTTP/1.1 401 ")
            );
        },
    )
    .await;
}

/// Everything but the one right signature: cut, too long, of another scheme, text or token, and with each of
/// its bits flipped.
fn wrong_signatures(body: &str) -> Vec<String> {
    let good = sign(body.as_bytes());
    let digits = good.strip_prefix("sha256=").unwrap();
    let start = |length| digits.chars().take(length).collect::<String>();
    let mut other = Hmac::<sha2::Sha256>::new_from_slice(b"another token").unwrap();
    other.update(body.as_bytes());
    let mut wrong = vec![
        String::new(),
        "sha256=".to_owned(),
        digits.to_owned(),
        format!("sha256={}", start(62)),
        format!("sha256={}", start(63)),
        format!("sha256={digits}0"),
        format!("sha256={digits}00"),
        format!("sha256={}g", start(63)),
        format!("sha256={}", "0".repeat(64)),
        format!("sha1={}", start(40)),
        format!("sha1={digits}"),
        format!("SHA256={digits}"),
        format!("sha256={digits}, sha256={digits}"),
        sign(b""),
        sign(format!("{body} ").as_bytes()),
        format!("sha256={}", hex::encode(other.finalize().into_bytes())),
    ];
    let bytes = hex::decode(digits).unwrap();
    wrong.extend((0..256).map(|bit| {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        format!("sha256={}", hex::encode(bytes))
    }));
    wrong
}

#[tokio::test]
async fn a_refused_body_does_not_cost_the_next_request_on_the_connection() {
    run(
        Setup::default().with("server: { max_body: 64KiB }"),
        async |ctx| {
            let over = "x".repeat((64 << 10) + 1);
            let head = format!(
                "POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                over.len()
            );
            let answer = exchange(ctx, head.as_bytes()).await.to_lowercase();
            assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
            // The client keeps connections unless it is told not to.
            for _ in 0..20 {
                assert_eq!(post_with(ctx, &over, None).await.status, 413);
                ctx.webhook(&passed("s3", 1)).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn signatures_that_do_not_hold_get_401_and_change_nothing() {
    run(Setup::default(), async |ctx| {
        let body = failed("s3", 1).to_json().to_string();
        let good = sign(body.as_bytes());
        for signature in wrong_signatures(&body) {
            let reply = post_with(ctx, &body, Some(&signature)).await;
            assert_eq!(
                (reply.status, reply.text.as_str()),
                (401, "unauthorized\n"),
                "{signature}"
            );
        }
        assert_eq!(post_with(ctx, &body, None).await.status, 401);
        let two = ctx
            .post(HOOK, body.clone())
            .header("X-Hub-Signature-256", good.clone());
        assert_eq!(Reply::to(two).await.status, 401);
        let sha1 = ctx
            .request("POST", HOOK)
            .header("X-Hub-Signature", &good)
            .body(body.clone());
        assert_eq!(Reply::to(sha1).await.status, 401);
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("observations_total"), 0);
        assert!(ctx.explain(&failed("s3", 1).name()).is_none());
        assert_eq!(post_with(ctx, &body, Some(&good)).await.status, 202);
        ctx.messages(2).await;
    })
    .await;
}

#[tokio::test]
async fn a_signed_body_that_cannot_be_read_gets_400_and_is_told_where() {
    run(Setup::default(), async |ctx| {
        let mut nameless = failed("s3", 1).to_json();
        nameless["metadata"]["name"] = json!(null);
        let items = json!({"items": [passed("s3", 1).to_json(), nameless]}).to_string();
        let event = json!({"type": "SURPRISE", "object": {}}).to_string();
        for (body, place) in [
            ("", "nothing to read"),
            ("{\"metadata\":\n {\"name\": ]", "line 2 column"),
            ("{}", "metadata.name is missing"),
            ("[7]", "[0]"),
            ("<html>", "an HTML page, not ProwJobs"),
            (items.as_str(), "items[1].metadata.name is missing"),
            (event.as_str(), "watch event type"),
        ] {
            let reply = post_with(ctx, body, Some(&sign(body.as_bytes()))).await;
            assert_eq!(reply.status, 400, "{body}: {}", reply.text);
            assert!(reply.text.contains(place), "{body}: {}", reply.text);
            // Whoever cannot sign learns nothing of it.
            assert_eq!(post_with(ctx, body, Some("sha256=00")).await.status, 401);
        }
        // All or nothing: the good item of the bad list is not taken.
        assert_eq!(ctx.settle().await.sum("observations_total"), 0);
    })
    .await;
}

#[tokio::test]
async fn deep_nesting_neither_crashes_nor_stalls() {
    run(Setup::default(), async |ctx| {
        for body in [
            "[".repeat(100_000),
            "{\"a\":".repeat(100_000),
            format!("{{\"spec\":{}", "[".repeat(100_000)),
        ] {
            assert_eq!(post_with(ctx, &body, Some("sha256=00")).await.status, 401);
            assert_eq!(
                post_with(ctx, &body, Some(&sign(body.as_bytes())))
                    .await
                    .status,
                400
            );
        }
        ctx.webhook(&passed("s3", 1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_drips_its_headers_is_cut_off() {
    run(Setup::default(), async |ctx| {
        let mut stream = TcpStream::connect(ctx.address()).await.unwrap();
        let head = b"POST /hooks/prowjob HTTP/1.1\r\nHost: x\r\nX-Drip: ";
        stream.write_all(head).await.unwrap();
        let mut answer = [0; 512];
        let cut = async {
            loop {
                tokio::select! {
                    // No byte, or an error: the connection has been closed.
                    read = stream.read(&mut answer) => return read.unwrap_or(0),
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
                // Something comes now and then. It fails once the connection is closed.
                drop(stream.write_all(b"a").await);
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(30), cut).await;
        let answer = String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
        assert!(!answer.contains(" 2"), "{answer}");
        ctx.webhook(&passed("s3", 1)).await;
    })
    .await;
}

#[tokio::test]
async fn whoever_sends_more_than_its_share_gets_429_and_when_to_come_again() {
    let setup = Setup::default().with("server: { rate_per_s: 1, burst: 5 }");
    run(setup, async |ctx| {
        let body = passed("s3", 1).to_json().to_string();
        for _ in 0..5 {
            let reply = Reply::to(ctx.post(HOOK, body.clone())).await;
            assert_eq!((reply.status, reply.retry_after), (202, None));
        }
        // On a slow machine some more may be earned meanwhile.
        let refused = async {
            loop {
                let reply = Reply::to(ctx.post(HOOK, body.clone())).await;
                if reply.status != 202 {
                    return reply;
                }
            }
        };
        let refused = tokio::time::timeout(Duration::from_secs(30), refused).await;
        let refused = refused.unwrap();
        assert_eq!((refused.status, refused.retry_after), (429, Some(1)));
        // Whoever looks after the daemon is not held off.
        assert_eq!(ctx.readyz().await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn hooks_take_posts_alone_and_other_paths_are_not_there() {
    run(Setup::default(), async |ctx| {
        for path in ["/hooks/prowjob", "/hooks/github"] {
            for method in ["GET", "PUT", "DELETE"] {
                assert_eq!(
                    Reply::to(ctx.request(method, path)).await.status,
                    405,
                    "{method} {path}"
                );
            }
        }
        for path in ["/hooks", "/now", "/nothing/here"] {
            let reply = Reply::to(ctx.request("GET", path)).await;
            assert_eq!(reply.status, 404, "{path}");
            assert!(
                reply.text.contains("pages begin at /"),
                "{path}: {}",
                reply.text
            );
        }
        assert_eq!(Reply::to(ctx.request("GET", "/healthz")).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_locked_store_gets_503_and_when_to_come_again_and_loses_nothing() {
    run(Setup::default(), async |ctx| {
        ctx.webhook(&passed("lambda", 1)).await;
        ctx.settle().await;
        // The worker may be looking for what falls due next.
        ctx.allow_error("Cannot decide on what came in");
        // Intake needs the inbox alone.
        let others = [ctx.store(), ctx.store().with_extension("inbox.db")]
            .map(|path| Connection::open(path).unwrap());
        for other in &others {
            other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        }
        let job = failed("s3", 1);
        let refused = Reply::to(ctx.post(HOOK, job.to_json().to_string())).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert_eq!(refused.retry_after, Some(5));
        let (status, detail) = ctx.readyz().await;
        assert_eq!(status, 503, "{detail}");
        assert!(
            detail["store"].as_str().unwrap().contains("lock"),
            "{detail}"
        );
        for other in &others {
            other.execute_batch("ROLLBACK").unwrap();
        }
        ctx.webhook(&job).await;
        assert_eq!(hooks(&ctx.messages(2).await), ["platform", "s3"]);
        let metrics = ctx.settle().await;
        assert_eq!(metrics.decided("notify"), 1);
        assert!(metrics.get("store_failures_total{reason=\"unavailable\"}") >= 1);
        assert_eq!(ctx.readyz().await.0, 200);
    })
    .await;
}

#[tokio::test]
async fn messages_are_not_repeated_while_their_delivery_cannot_be_noted() {
    run(Setup::default(), async |ctx| {
        ctx.expect_error("Cannot note what became of a message");
        ctx.allow_error("Cannot decide on what came in");
        for hook in ["platform", "s3"] {
            // Slack takes the message at once and says so when the store is locked.
            ctx.slack.force(
                hook,
                Forced {
                    delay: Duration::from_secs(2),
                    accept: true,
                    ..Forced::answer(200, "ok")
                },
            );
        }
        ctx.webhook(&failed("s3", 1)).await;
        ctx.messages(2).await;
        let other = Connection::open(ctx.store()).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        ctx.until("both receivers had time to repeat", |metrics| {
            metrics.get("store_failures_total{reason=\"unavailable\"}") >= 4
        })
        .await;
        other.execute_batch("ROLLBACK").unwrap();
        ctx.settle().await;
        assert_eq!(ctx.unread(), 0);
    })
    .await;
}
