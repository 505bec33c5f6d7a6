//! Secrets in logs, and everything the daemon writes anywhere.

use std::{collections::BTreeSet, fs, path::Path};

use aho_corasick::AhoCorasick;
use prow_notifier::{
    clock::Clock,
    standin::bucket::{BucketStandin, Object},
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::reading;
use crate::{
    context::{Context, Reply, Setup, TOKEN, failed, run},
    program::repository,
};

/// A kind of secret, the secret, and a line of a log around it.
struct Planted {
    kind: String,
    secret: String,
    around: String,
}

fn planted() -> Vec<Planted> {
    let text = fs::read_to_string(repository("tests/data/secrets.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    let joined = |value: &Value| -> String {
        let parts = value.as_array().unwrap();
        parts.iter().map(|part| part.as_str().unwrap()).collect()
    };
    let cases = cases.iter().map(|case| Planted {
        kind: case["kind"].as_str().unwrap().to_owned(),
        secret: joined(&case["secret"]),
        around: joined(&case["line"]),
    });
    cases.collect()
}

impl Planted {
    fn line(&self) -> String {
        self.around.replace("{secret}", &self.secret)
    }

    /// Pieces of it that no place may show, twelve bytes long, none of them written beside it in the open.
    fn pieces(&self) -> Vec<&[u8]> {
        let lines = self.secret.lines();
        let pieces = lines.flat_map(|line| {
            let width = line.len().min(12);
            line.as_bytes().windows(width.max(8))
        });
        let open = self.around.as_bytes();
        pieces
            .filter(|piece| !open.windows(piece.len()).any(|part| part == *piece))
            .collect()
    }
}

/// Everything that is in the folder of the store, as it stands on the disk.
fn files(store: &Path) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(store.parent().unwrap()).unwrap();
    let files = folder.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

async fn get(ctx: &Context, path: &str) -> (String, Vec<u8>) {
    let reply = Reply::to(ctx.request("GET", path)).await;
    assert_eq!(reply.status, 200, "{path}");
    (path.to_owned(), reply.text.into_bytes())
}

/// A report from inside a job that printed this.
async fn report(ctx: &Context, number: usize, tail: &str) {
    let job = failed(&format!("inside{number}"), 0);
    let json = job.to_json();
    let refs = &json["spec"]["refs"];
    let body = json!({
        "id": number.to_string(), "stage": "publish", "run": job.name(), "build_id": job.build_id(),
        "type": "postsubmit", "job": job.job, "refs": refs, "exit_code": 1, "log_tail": tail,
    });
    let text = body.to_string();
    let id = format!("11111111-1111-4111-8111-{number:012}");
    let signature = prow_notifier::prow::signature::sign_dated(
        TOKEN,
        Clock::System.now(),
        &id,
        text.as_bytes(),
    );
    let request = ctx
        .request("POST", "/hooks/stage")
        .header(prow_notifier::prow::signature::DATED_HEADER, signature);
    let reply = Reply::to(request.body(text)).await;
    assert_eq!(reply.status, 202, "{}", reply.text);
}

fn leaks(all: &[Planted], places: &[(String, Vec<u8>)]) -> Vec<String> {
    let pieces: Vec<(&Planted, &[u8])> = all
        .iter()
        .flat_map(|one| one.pieces().into_iter().map(move |piece| (one, piece)))
        .collect();
    let searched = AhoCorasick::new(pieces.iter().map(|(_, piece)| piece)).unwrap();
    let mut leaks = BTreeSet::new();
    for (place, bytes) in places {
        for found in searched.find_overlapping_iter(bytes) {
            let (one, piece) = pieces[found.pattern().as_usize()];
            let place = place.split(' ').next().unwrap_or_default();
            leaks.insert(format!("{} in {place}: {}", one.kind, piece.escape_ascii()));
        }
    }
    leaks.into_iter().collect()
}

#[tokio::test]
async fn no_planted_secret_leaves_the_log() {
    let bucket = BucketStandin::start(&TaskTracker::new()).await.unwrap();
    let settings = reading(&bucket.url(), "base: 10s");
    run(Setup::default().unpaced().with(&settings), async |ctx| {
        let all = planted();
        assert!(all.len() >= 60);
        let mut places = Vec::new();
        let mut names = Vec::new();
        for (number, one) in all.iter().enumerate() {
            let job = failed(&format!("s{number}"), 0);
            let line = one.line();
            let text = format!(
                "+ make release\n{line}\nerror: cannot publish: {line}\nmake: *** [release] Error 1\n"
            );
            let path = format!("{}/build-log.txt", job.directory());
            bucket.put(&path, Object::Bytes(text.clone().into()));
            ctx.webhook(&job).await;
            names.push(job.name());
            report(ctx, number, &text).await;
        }
        let found = "artifact_reads_total{result=\"found\"}";
        let wanted = 2 * all.len() as u64;
        ctx.until("all logs are read", |metrics| metrics.get(found) >= wanted / 2 && metrics.sum("artifact_reads_total") >= wanted / 2)
            .await;
        ctx.settle().await;
        for name in &names {
            places.push(get(ctx, &format!("/runs/{name}")).await);
            let explained = ctx.explain(name).unwrap();
            assert!(explained["evidence"]["finding"]["found"].is_object(), "{explained}");
            places.push((format!("explain {name}"), explained.to_string().into_bytes()));
        }
        places.push(get(ctx, "/metrics").await);
        places.push(get(ctx, "/readyz").await);
        let count = ctx.unread();
        for message in ctx.messages(count).await {
            places.push(("Slack".to_owned(), message.payload.to_string().into_bytes()));
        }
        places.extend(files(&ctx.store()));
        places.push(("the log".to_owned(), ctx.log().join("\n").into_bytes()));
        let leaks = leaks(&all, &places);
        assert!(leaks.is_empty(), "{} leaks: {leaks:#?}", leaks.len());
    })
    .await;
}
