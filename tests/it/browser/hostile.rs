//! Strings that want to be markup or script, in every place that others can write to, on every page in a real
//! browser and in every answer of the API.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use prow_notifier::{
    slack::preview_text,
    standin::{
        bucket::{BucketStandin, Object},
        prow::Job,
    },
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::chromium::{Chromium, Look};
use crate::context::{Context, Reply, Setup, failed, run};

const CORPUS: &str = include_str!("../../data/hostile.txt");
const TOKEN: &str = "a-token-for-the-tests-of-evil";
/// Strings of which every page is opened; of the others, the page of the run.
const IN_FULL: usize = 6;

/// What is in a page that none of ours has: handlers in attributes, scripts without a file, frames, addresses that run.
const OUTBREAKS: &str = r"
    const runs = /^\s*(javascript|data|vbscript):/i;
    const places = ['href', 'src', 'action', 'formaction', 'xlink:href', 'data', 'srcdoc'];
    const found = [];
    for (const e of document.querySelectorAll('*')) {
        for (const a of e.attributes) {
            if (a.name.startsWith('on') || (places.includes(a.name) && runs.test(a.value))) {
                found.push(e.tagName + ' ' + a.name + '=' + a.value);
            }
        }
    }
    const never = 'script:not([src]), iframe, object, embed, base, animate, math, foreignObject, link[href*=evil], form[action*=evil]';
    for (const e of document.querySelectorAll(never)) found.push(e.outerHTML);
    if (window.owned) found.push('script ran');
    return found;
";

fn corpus() -> Vec<&'static str> {
    CORPUS.lines().filter(|line| !line.is_empty()).collect()
}

/// A bad run with a string wherever a ProwJob has text.
fn hostile(number: i64, text: &str) -> (Job, Value) {
    let mut job = failed("s3", number + 2);
    text.clone_into(&mut job.description);
    text.clone_into(&mut job.base_ref);
    job.job = format!("{text}-post-submit");
    for name in ["service", "stage", "runbook"] {
        let key = format!("prow-notifier.io/{name}");
        job.annotations.push((key, text.to_owned()));
    }
    let mut body = job.to_json();
    body["spec"]["refs"]["pulls"] =
        json!([{ "number": 1, "author": text, "sha": text, "title": text }]);
    body["spec"]["refs"]["base_link"] = json!(text);
    body["spec"]["refs"]["repo_link"] = json!(text);
    body["spec"]["cluster"] = json!(text);
    (job, body)
}

fn setup(home: &std::path::Path, bucket: &BucketStandin) -> Setup {
    let who = corpus()[0];
    let tokens = home.join("tokens");
    let named = BTreeMap::from([(who, TOKEN)]);
    std::fs::write(&tokens, serde_json::to_string(&named).unwrap()).unwrap();
    Setup::default()
        .unpaced()
        .with(&format!(
            "artifacts: {{ enabled: true, endpoints: [{{ for: s3, endpoint: '{}', anonymous: true }}] }}",
            bucket.url()
        ))
        .with(&format!(
            "server: {{ access: {{ tokens_file: '{}' }} }}",
            tokens.display()
        ))
}

/// Fills the store; returns the names of the runs.
async fn fill(ctx: &Context, bucket: &BucketStandin) -> Vec<String> {
    let mut names = Vec::new();
    for (number, text) in (0..).zip(corpus()) {
        let (job, body) = hostile(number, text);
        let log = format!("+ {text}\nmanager.go:42:7: undefined: {text}\n{text}\n");
        let path = format!("{}/build-log.txt", job.directory());
        bucket.put(&path, Object::Bytes(log.into()));
        let reply = Reply::to(ctx.post("/hooks/prowjob", body.to_string())).await;
        assert_eq!(reply.status, 202, "{text}: {}", reply.text);
        names.push(job.name());
    }
    for text in corpus().into_iter().take(IN_FULL) {
        let matcher = format!("service={}", json!(text));
        let body = json!({ "matchers": [matcher], "reason": text, "lasts_s": 3600 });
        let silence = ctx.request("POST", "/api/v1/silences").bearer_auth(TOKEN);
        let reply = Reply::to(silence.json(&body)).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
    ctx.settle().await;
    ctx.until("all logs are read", |metrics| {
        metrics.sum("artifact_reads_total") >= names.len() as u64
    })
    .await;
    ctx.settle().await;
    names
}

/// The addresses of ours that a page links to.
fn links(html: &str) -> BTreeSet<String> {
    let links = html.split("href=\"").skip(1);
    let links = links.filter_map(|rest| rest.split('"').next());
    links
        .map(|link| link.replace("&#x2f;", "/").replace("&amp;", "&"))
        .filter(|link| link.starts_with('/') && !link.starts_with("/assets"))
        .collect()
}

async fn pages(ctx: &Context, runs: &[String]) -> BTreeSet<String> {
    let fixed = [
        "/",
        "/services",
        "/trends",
        "/deliveries",
        "/config",
        "/wall",
        "/silences?all=1",
        "/g/controller-release/7d",
    ];
    let mut pages: BTreeSet<String> = fixed.map(str::to_owned).into();
    for (number, name) in runs.iter().enumerate() {
        let page = format!("/r/{name}");
        if number < IN_FULL {
            let reply = Reply::to(ctx.request("GET", &page)).await;
            let seen = links(&reply.text).into_iter();
            pages.extend(seen.filter(|link| {
                ["/s/", "/j/", "/e/"]
                    .iter()
                    .any(|kind| link.starts_with(kind))
            }));
        }
        pages.insert(page);
    }
    for text in corpus().into_iter().take(IN_FULL) {
        let text: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
        pages.insert(format!("/silences?match={text}&reason={text}&for={text}"));
        pages.insert(format!("/services?q={text}"));
        pages.insert(format!("/trends?service={text}"));
        pages.insert(format!("/deliveries?receiver={text}"));
        pages.insert(format!("/login?next={text}"));
    }
    pages
}

#[tokio::test]
async fn no_hostile_string_becomes_markup_or_script_on_any_page() {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let (home, bucket) = (
        tempfile::tempdir().unwrap(),
        BucketStandin::start(&TaskTracker::new()).await.unwrap(),
    );
    run(setup(home.path(), &bucket), async |ctx| {
        let runs = fill(ctx, &bucket).await;
        browser.look(Look::default()).await;
        let pages = pages(ctx, &runs).await;
        assert!(pages.len() > corpus().len() + 20, "{pages:?}");
        for page in pages {
            browser
                .open(&format!("http://{}{page}", ctx.address()))
                .await;
            let found = browser.script(OUTBREAKS).await;
            assert_eq!(found, json!([]), "{page}");
            let mut complaints = browser.complaints().await;
            complaints
                .retain(|complaint| !complaint.contains("the server responded with a status of 4"));
            assert_eq!(complaints, Vec::<String>::new(), "{page}");
            let foreign = browser.foreign_requests().await;
            assert_eq!(foreign, json!([]), "{page}");
        }
        for message in ctx.messages(ctx.unread()).await {
            assert!(!preview_text(&message.payload).is_empty());
        }
    })
    .await;
    browser.stop().await;
}

#[tokio::test]
async fn no_answer_of_the_api_is_taken_for_a_page() {
    let (home, bucket) = (
        tempfile::tempdir().unwrap(),
        BucketStandin::start(&TaskTracker::new()).await.unwrap(),
    );
    run(setup(home.path(), &bucket), async |ctx| {
        let runs = fill(ctx, &bucket).await;
        let document = ctx
            .request("GET", "/api/v1/openapi.json")
            .send()
            .await
            .unwrap();
        let document: Value = document.json().await.unwrap();
        let mut asked = 0;
        for (path, methods) in document["paths"].as_object().unwrap() {
            if methods.get("get").is_none() {
                continue;
            }
            for text in corpus() {
                let part: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
                let part = part.replace('+', "%20");
                let path = path.replace("{run}", runs.first().unwrap());
                let mut path = path.as_str().to_owned();
                while let (Some(from), Some(to)) = (path.find('{'), path.find('}')) {
                    path.replace_range(from..=to, &part);
                }
                let answer = ctx.request("GET", &path).send().await.unwrap();
                asked += 1;
                assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
                let headers = answer.headers();
                assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
                let kind = headers["content-type"].to_str().unwrap().to_owned();
                assert!(
                    kind.starts_with("application/") && kind.contains("json"),
                    "{path}: {kind}"
                );
                let body: Result<Value, _> = answer.json().await;
                assert!(body.is_ok(), "{path}");
                if path.ends_with(part.as_str()) || path.contains(&format!("{part}/")) {
                    continue;
                }
                break;
            }
        }
        assert!(asked > 100, "{asked}");
        ctx.messages(ctx.unread()).await;
    })
    .await;
}
