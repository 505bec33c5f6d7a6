//! How fast deck's list is read, against a bare borrowed `serde_json` parse of the same bytes in the same
//! run, and how much memory a poll over loopback takes.
//!
//! `cargo bench --bench deck`; a number as argument is the length of the list (100,000).

#![expect(clippy::print_stdout, reason = "its results are for people")]

use std::{
    borrow::Cow,
    env, fmt,
    hint::black_box,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    prow::deck::{self, DeckUrl, ListReader},
    standin::prow::{DeckStandin, Job},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

/// As much as one read of a socket gives.
const CHUNK: usize = 64 << 10;

/// Set for the child process that polls; holds the address.
const CHILD: &str = "PROW_NOTIFIER_BENCH_DECK";

fn main() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a bench is not the daemon")]
    let child = env::var(CHILD);
    match child {
        Ok(url) => poll(&url),
        Err(_) => measure(),
    }
}

fn measure() -> Result<()> {
    let length = env::args().find_map(|argument| argument.parse().ok());
    let list = Bytes::from(list(length.unwrap_or(100_000))?);
    println!("list: {:.1} MB", megabytes(list.len()));
    let floor = best(|| floor(&list))?;
    let lean = best(|| lean_floor(&list))?;
    let ours = best(|| split_and_parse(&list))?;
    let borrowed = best(|| split_only(&list))?;
    println!("bare borrowed serde_json parse of the whole: {floor:?}");
    println!("the same, dropping each item as it is read:  {lean:?}");
    for (what, took) in [
        ("splitter, 64 KiB chunks, and the same parse:", borrowed),
        ("splitter and parser to observations:        ", ours),
    ] {
        let (whole, lean) = (ratio(took, floor), ratio(took, lean));
        println!("{what} {took:?}, {whole:.2} of the first, {lean:.2} of the second");
    }
    serve(list)
}

fn ratio(ours: Duration, floor: Duration) -> f64 {
    ours.as_secs_f64() / floor.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// The best of three, so that another process on the machine does not count.
fn best(mut run: impl FnMut() -> Result<()>) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let begun = Instant::now();
        run()?;
        best = best.min(begun.elapsed());
    }
    Ok(best)
}

fn split_and_parse(list: &[u8]) -> Result<()> {
    let mut reader = ListReader::new(Timestamp::UNIX_EPOCH);
    for chunk in list.chunks(CHUNK) {
        reader.push(chunk, &mut |observation| {
            black_box(observation);
        })?;
    }
    let stats = reader.finish()?;
    ensure!(stats.bad == 0, "bad items: {:?}", stats.bad_items);
    Ok(())
}

/// The splitter with the floor's own structs, which shows what the cutting alone costs.
fn split_only(list: &[u8]) -> Result<()> {
    let mut splitter = deck::Splitter::default();
    for chunk in list.chunks(CHUNK) {
        splitter.push_reading(chunk, &mut |piece| {
            let (deck::Piece::Begun(bytes) | deck::Piece::Whole(bytes)) = piece else {
                return None;
            };
            let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Item<'_>>();
            black_box(stream.next()?.ok()?);
            Some(stream.byte_offset())
        })?;
    }
    Ok(splitter.finish()?)
}

fn floor(list: &[u8]) -> Result<()> {
    let list: List<'_> = serde_json::from_slice(list)?;
    black_box(&list.items);
    Ok(())
}

/// As [`floor`], but without the time it takes to get memory for 100,000 items.
fn lean_floor(list: &[u8]) -> Result<()> {
    let list: Dropped = serde_json::from_slice(list)?;
    black_box(list.items.0);
    Ok(())
}

#[derive(Deserialize)]
struct Dropped {
    items: Count,
}

struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(CountVisitor)
    }
}

struct CountVisitor;

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        while let Some(item) = seq.next_element::<Item<'de>>()? {
            black_box(item);
            count += 1;
        }
        Ok(Count(count))
    }
}

/// The fields that an observation has, borrowed, and nothing of its tolerance.
#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only parsed")]
struct Item<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow)]
    status: Status<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only parsed")]
struct Metadata<'a> {
    name: &'a str,
    creation_timestamp: &'a str,
    #[serde(borrow)]
    labels: Pairs<'a>,
    #[serde(borrow)]
    annotations: Pairs<'a>,
}

/// The cheapest way to hold a map.
struct Pairs<'a>(#[expect(dead_code, reason = "only parsed")] Vec<(&'a str, &'a str)>);

impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::with_capacity(16);
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Pairs(pairs))
    }
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only parsed")]
struct Spec<'a> {
    r#type: &'a str,
    agent: &'a str,
    cluster: &'a str,
    job: &'a str,
    #[serde(borrow)]
    refs: Option<Refs<'a>>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only parsed")]
struct Refs<'a> {
    org: &'a str,
    repo: &'a str,
    repo_link: &'a str,
    base_ref: &'a str,
    base_sha: &'a str,
    base_link: &'a str,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "only parsed")]
struct Status<'a> {
    #[serde(rename = "startTime")]
    start_time: &'a str,
    #[serde(rename = "completionTime")]
    completion_time: Option<&'a str>,
    state: &'a str,
    #[serde(borrow)]
    description: Cow<'a, str>,
    url: Option<&'a str>,
    build_id: Option<&'a str>,
}

/// Serves the list from this process and polls it from another, whose memory is then its own.
fn serve(list: Bytes) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let standin = runtime.block_on(DeckStandin::start(&TaskTracker::new()))?;
    standin.set_list(list);
    let status = Command::new(env::current_exe()?)
        .env(CHILD, standin.url())
        .status()?;
    ensure!(status.success(), "the polling process failed: {status}");
    Ok(())
}

fn poll(url: &str) -> Result<()> {
    let before = peak_memory_kib()?;
    // Fails only when a provider is set already.
    drop(rustls::crypto::ring::default_provider().install_default());
    // Uncompressed, so that the time is the reader's and not the stand-in's packing.
    let http = reqwest::Client::builder().no_proxy().no_gzip().build()?;
    let deck: DeckUrl = url.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let begun = Instant::now();
    let listed = deck::list(
        &http,
        &deck,
        Duration::from_secs(60),
        Timestamp::UNIX_EPOCH,
        |run| {
            black_box(run);
        },
    );
    let stats = runtime.block_on(listed)?;
    let took = begun.elapsed();
    let after = peak_memory_kib()?;
    println!(
        "poll over loopback, {} items: {took:?}, peak memory {:.1} MiB (before the poll {:.1} MiB)",
        stats.items,
        mebibytes(after),
        mebibytes(before)
    );
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn peak_memory_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmHWM in /proc/self/status")?.parse()?)
}

/// A list as deck gives it with `omit=pod_spec,decoration_config`: ACK's release jobs, Kubernetes' image
/// pushes with their `TestGrid` annotations, and as many periodics.
fn list(length: usize) -> Result<Vec<u8>> {
    let mut list = br#"{"items":["#.to_vec();
    for number in 0..length {
        if number > 0 {
            list.push(b',');
        }
        serde_json::to_writer(&mut list, &prowjob(number)?)?;
    }
    list.extend_from_slice(b"]}");
    Ok(list)
}

fn prowjob(number: usize) -> Result<Value> {
    let started = "2026-08-20T10:00:00Z".parse::<Timestamp>()?;
    let started = started + SignedDuration::from_secs(i64::try_from(number / 3)?);
    let (repo, name, base_ref) = match number % 4 {
        0 => ("dynamodb-controller", "update-ack-chart", "v1.4.10"),
        1 => (
            "cluster-api-provider-aws",
            "post-cluster-api-provider-aws-push-images",
            "release-2.7",
        ),
        _ => ("kubernetes", "ci-kubernetes-e2e-gci-gce-slow", "master"),
    };
    let mut job = Job::new(repo, name, base_ref, started);
    if number % 4 == 1 {
        "kubernetes-sigs".clone_into(&mut job.org);
        job.annotations = [
            (
                "testgrid-dashboards",
                "sig-cluster-lifecycle-image-pushes, sig-k8s-infra-gcb",
            ),
            ("testgrid-alert-email", "k8s-infra-alerts@kubernetes.io"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec();
    }
    job = match number % 10 {
        0 => job.ended(
            "failure",
            "Job failed.",
            Some(started + SignedDuration::from_mins(7)),
        ),
        1 => job.ended("pending", "Job triggered.", None),
        _ => job,
    };
    let mut job = job.to_json();
    if number % 4 >= 2 {
        make_periodic(&mut job);
    }
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert(
            "pod_spec".to_owned(),
            json!({"containers": [{"name": "", "resources": {}}]}),
        );
        spec.remove("decoration_config");
    }
    if let Some(status) = job.get_mut("status").and_then(Value::as_object_mut) {
        let reported = json!({"gcsk8sreporter": "success", "gcsreporter": "success"});
        status.insert("prev_report_states".to_owned(), reported);
    }
    Ok(job)
}

/// Most of a big list are periodics, which have no refs.
fn make_periodic(job: &mut Value) {
    if let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("type".to_owned(), json!("periodic"));
        spec.remove("refs");
        spec.remove("context");
    }
    let labels = job.pointer_mut("/metadata/labels");
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.retain(|key, _| !key.starts_with("prow.k8s.io/refs"));
        labels.insert("prow.k8s.io/type".to_owned(), json!("periodic"));
    }
}
