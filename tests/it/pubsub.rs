//! Messages that Google Pub/Sub pushes: who may push, what becomes of a message, and that it is told once.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use prow_notifier::{
    clock::Clock,
    standin::{
        bucket::{BucketStandin, Object},
        prow::Job,
    },
};
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::context::{Context, Reply, Setup, failed, hooks, names_what_broke, run, text};

/// Made for these tests, and good for nothing else.
const KEY: &[u8] = include_bytes!("../data/pubsub/test-key.pk8");
const AUDIENCE: &str = "https://notifier.example.org/hooks/pubsub";
const ACCOUNT: &str = "pusher@example.iam.gserviceaccount.com";

/// Google's place for keys.
struct Keys {
    url: String,
    asked: Arc<AtomicUsize>,
    /// `None`: it fails.
    kid: Arc<Mutex<Option<String>>>,
}

impl Keys {
    async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}/certs", listener.local_addr()?);
        let (asked, kid) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Mutex::new(Some("one".to_owned()))),
        );
        let (counted, named) = (Arc::clone(&asked), Arc::clone(&kid));
        let certs = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let kid = named.lock().unwrap().clone();
            std::future::ready(match kid {
                Some(kid) => axum::Json(json!({ "keys": [jwk(&kid)] })).into_response(),
                None => StatusCode::BAD_GATEWAY.into_response(),
            })
        };
        TaskTracker::new().spawn(async move {
            let router = Router::new().route("/certs", get(certs));
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { url, asked, kid })
    }

    fn settings(&self) -> String {
        format!(
            "sources: {{ pubsub: {{ audience: '{AUDIENCE}', service_account: '{ACCOUNT}', keys_url: '{}' }} }}",
            self.url
        )
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn jwk(kid: &str) -> Value {
    let pair = RsaKeyPair::from_pkcs8(KEY).unwrap();
    let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
    let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": number(&public.n), "e": number(&public.e)})
}

fn claims() -> Value {
    let now = Clock::System.now().as_second();
    json!({"iss": "https://accounts.google.com", "aud": AUDIENCE, "azp": "1", "sub": "1", "email": ACCOUNT,
        "email_verified": true, "iat": now - 5, "exp": now + 3595})
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn token_of(kid: &str, claims: &Value) -> String {
    let signed = unsigned(&json!({"alg": "RS256", "kid": kid, "typ": "JWT"}), claims);
    let pair = RsaKeyPair::from_pkcs8(KEY).unwrap();
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = SystemRandom::new();
    pair.sign(
        &RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn token() -> String {
    token_of("one", &claims())
}

/// What Prow's reporter says of a run.
fn report(job: &Job) -> Value {
    let prowjob = job.to_json();
    let directory = job.directory();
    json!({"project": "p", "topic": "t", "runid": "r", "status": job.state,
        "url": format!("https://prow.example.com/view/s3/{directory}"),
        // As with a prefix that lacks its last slash.
        "gcs_path": format!("s3:///s3/{directory}"),
        "refs": [prowjob["spec"]["refs"]], "job_type": "postsubmit", "job_name": job.job,
        "message": job.description})
}

fn push(id: &str, report: &Value) -> String {
    let data = BASE64_STANDARD.encode(report.to_string());
    let at = Clock::System.now().to_string();
    json!({"message": {"data": data, "messageId": id, "publishTime": at}, "subscription": "projects/p/subscriptions/s"})
        .to_string()
}

async fn deliver(ctx: &Context, token: Option<&str>, body: String) -> (u16, String) {
    let mut request = ctx.request("POST", "/hooks/pubsub").body(body);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let reply = Reply::to(request).await;
    (reply.status, reply.text)
}

fn accepted() -> (u16, String) {
    (202, "accepted 1\n".to_owned())
}

/// What Prow stores of a run that ended.
fn store(bucket: &BucketStandin, job: &Job) {
    let put = |name: &str, json: Value| {
        let bytes = json.to_string().into_bytes().into();
        bucket.put(&format!("{}/{name}", job.directory()), Object::Bytes(bytes));
    };
    put("prowjob.json", job.to_json());
    put(
        "finished.json",
        json!({"timestamp": job.completed.unwrap().as_second(), "passed": false}),
    );
}

fn reading(bucket: &BucketStandin) -> String {
    format!(
        "artifacts: {{ enabled: true, endpoints: [{{ for: s3, endpoint: '{}', anonymous: true }}] }}",
        bucket.url()
    )
}

#[tokio::test]
async fn a_failure_told_by_pubsub_alone_is_told_once_with_the_prowjobs_data() {
    let keys = Keys::start().await.unwrap();
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    let setup = Setup::default()
        .with(&keys.settings())
        .with(&reading(&bucket));
    run(setup, async |ctx| {
        let job = failed("s3", 0);
        let body = push("1", &report(&job));
        assert_eq!(deliver(ctx, Some(&token()), body.clone()).await, accepted());
        ctx.until("the message waits for its run", |metrics| {
            metrics.sum("inbox_depth") == 1
        })
        .await;
        assert_eq!(ctx.unread(), 0);
        store(&bucket, &job);
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        for message in &messages {
            assert!(text(message).contains("v1.2.3"), "{}", text(message));
        }
        assert_eq!(
            ctx.explain(&job.name()).unwrap()["decisions"][0]["decision"],
            "notify"
        );
        let metrics = ctx.settle().await;
        assert_eq!(
            (metrics.decided("notify"), metrics.decided("deduplicated")),
            (1, 1)
        );
        // Delivered again, published again, and told by another source.
        let again = deliver(ctx, Some(&token()), body).await;
        assert_eq!(again, (200, "delivered before\n".to_owned()));
        deliver(ctx, Some(&token()), push("2", &report(&job))).await;
        ctx.webhook(&job).await;
        let metrics = ctx.settle().await;
        assert_eq!(metrics.decided("notify"), 1);
        assert_eq!(keys.asked(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_a_webhook_told_first_is_not_told_again() {
    let keys = Keys::start().await.unwrap();
    run(Setup::default().with(&keys.settings()), async |ctx| {
        let job = failed("s3", 0);
        ctx.webhook(&job).await;
        ctx.messages(2).await;
        let body = push("1", &report(&job));
        assert_eq!(deliver(ctx, Some(&token()), body).await, accepted());
        assert_eq!(ctx.settle().await.decided("deduplicated"), 1);
    })
    .await;
}

#[tokio::test]
async fn without_storage_and_deck_a_message_is_told_by_what_it_says() {
    let keys = Keys::start().await.unwrap();
    run(Setup::default().with(&keys.settings()), async |ctx| {
        let job = failed("s3", 0);
        // Without its envelope, too.
        let body = report(&job).to_string();
        assert_eq!(deliver(ctx, Some(&token()), body).await, accepted());
        let messages = ctx.messages(2).await;
        names_what_broke(&messages[1], "s3");
        ctx.webhook(&job).await;
        assert_eq!(ctx.settle().await.decided("deduplicated"), 1);
    })
    .await;
}

#[tokio::test]
async fn what_tells_of_no_end_of_a_run_is_taken_and_dropped() {
    let keys = Keys::start().await.unwrap();
    run(Setup::default().with(&keys.settings()), async |ctx| {
        let job = failed("s3", 0);
        let mut pending = report(&job);
        pending["status"] = json!("pending");
        let answer = deliver(ctx, Some(&token()), push("1", &pending)).await;
        assert_eq!(answer, (200, "not finished\n".to_owned()));
        let nameless =
            json!({"status": "error", "message": "Failed creating prowjob: no such job"});
        let answer = deliver(ctx, Some(&token()), push("2", &nameless)).await;
        assert_eq!(answer, (200, "tells of no run\n".to_owned()));
        let broken = deliver(ctx, Some(&token()), "hello".to_owned()).await;
        assert_eq!(broken.0, 400, "{}", broken.1);
        let large = deliver(ctx, None, "x".repeat((4 << 20) + 1)).await;
        assert_eq!(large.0, 413);
        assert_eq!(ctx.settle().await.sum("observations_total"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_token_that_is_not_good_in_every_way_is_refused_without_a_word() {
    let keys = Keys::start().await.unwrap();
    run(Setup::default().with(&keys.settings()), async |ctx| {
        let body = push("1", &report(&failed("s3", 0)));
        let now = Clock::System.now().as_second();
        let mut bad = vec![None, Some(String::new()), Some("a.b.c".to_owned())];
        for (key, value) in [
            ("iss", json!("https://accounts.example.com")),
            ("aud", json!("https://other.example.org")),
            ("email", json!("other@example.iam.gserviceaccount.com")),
            ("email_verified", json!(false)),
            ("exp", json!(now - 120)),
            ("iat", json!(now + 120)),
            ("nbf", json!(now + 120)),
        ] {
            let mut claims = claims();
            claims[key] = value;
            bad.push(Some(token_of("one", &claims)));
        }
        let none = unsigned(&json!({"alg": "none", "kid": "one"}), &claims());
        bad.push(Some(format!("{none}.")));
        // Signed with the public key, which everybody has, as if it were a secret.
        let confused = unsigned(&json!({"alg": "HS256", "kid": "one"}), &claims());
        let public = jwk("one")["n"].as_str().unwrap().to_owned();
        let mut mac = Hmac::<Sha256>::new_from_slice(public.as_bytes()).unwrap();
        mac.update(confused.as_bytes());
        let mac = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        bad.push(Some(format!("{confused}.{mac}")));
        let is_asked_for_nothing = keys.asked() == 0;
        // The claims of one token with the signature of another.
        let (mine, theirs) = (token(), token_of("one", &json!({"iss": "me"})));
        let spliced = format!(
            "{}.{}",
            mine.rsplit_once('.').unwrap().0,
            theirs.rsplit_once('.').unwrap().1
        );
        bad.push(Some(spliced));
        bad.push(Some(token_of("two", &claims())));
        for token in bad {
            let answer = deliver(ctx, token.as_deref(), body.clone()).await;
            assert_eq!(answer, (401, "unauthorized\n".to_owned()), "{token:?}");
        }
        assert!(is_asked_for_nothing);
        assert_eq!(ctx.settle().await.sum("observations_total"), 0);
        assert_eq!(deliver(ctx, Some(&token()), body).await, accepted());
        ctx.messages(2).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_google_once() {
    let keys = Keys::start().await.unwrap();
    run(Setup::default().with(&keys.settings()), async |ctx| {
        let body = push("1", &report(&failed("s3", 0)));
        let tokens: Vec<String> = (0..20)
            .map(|n| token_of(&format!("key-{n}"), &claims()))
            .collect();
        let flood = tokens
            .iter()
            .map(|token| deliver(ctx, Some(token), body.clone()));
        for answer in futures_util::future::join_all(flood).await {
            assert_eq!(answer.0, 401);
        }
        assert_eq!(keys.asked(), 1);
        assert_eq!(deliver(ctx, Some(&token()), body).await, accepted());
        ctx.messages(2).await;
        assert_eq!(keys.asked(), 1);
    })
    .await;
}

#[tokio::test]
async fn while_keys_cannot_be_had_senders_are_told_to_come_again() {
    let keys = Keys::start().await.unwrap();
    *keys.kid.lock().unwrap() = None;
    run(Setup::default().with(&keys.settings()), async |ctx| {
        let body = push("1", &report(&failed("s3", 0)));
        let request = ctx
            .request("POST", "/hooks/pubsub")
            .header("Authorization", format!("Bearer {}", token()))
            .body(body.clone());
        let reply = Reply::to(request).await;
        assert_eq!((reply.status, reply.retry_after), (503, Some(5)));
        // Others are refused all the same.
        assert_eq!(deliver(ctx, None, body.clone()).await.0, 401);
        assert_eq!(deliver(ctx, Some(&token()), body).await.0, 503);
        assert_eq!(keys.asked(), 1);
    })
    .await;
}

#[tokio::test]
async fn without_settings_every_message_is_refused() {
    run(Setup::default(), async |ctx| {
        let body = push("1", &report(&failed("s3", 0)));
        assert_eq!(deliver(ctx, Some(&token()), body).await.0, 401);
    })
    .await;
}
