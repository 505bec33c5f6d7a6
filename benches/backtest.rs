//! What replaying a long history costs: runs a second and peak memory, beside reading and parsing the same file.
//!
//! `cargo bench --bench backtest`; a number as argument is the length of the history (1,000,000).

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints and measures, and nothing depends on it"
)]
#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "of what the benches share"
)]

mod support;

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use prow_notifier::{domain::observation::Source, prow::parse, standin::prow::Job};
use support::mib;

/// Services, each with a repository of its own.
const SERVICES: usize = 77;
/// Job names of a release, in order; `S` stands for the service.
const STAGES: [&str; 6] = [
    "S-controller-release-pr",
    "S-controller-release-tag",
    "S-post-submit",
    "update-ack-chart",
    "S-controller-olm-bundle-pr",
    "S-soak-on-release",
];
/// One run in so many is bad.
const BAD: usize = 40;

fn main() -> Result<()> {
    let runs = env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(1_000_000);
    let home = tempfile::tempdir()?;
    let history = home.path().join("runs.ndjson");
    generate(&history, runs)?;
    let bytes = fs::metadata(&history)?.len();
    println!("{runs} runs, {:.0} MiB, one in {BAD} bad", mib(bytes));
    let floor = parse_all(&history, runs)?;
    println!(
        "read and parsed:  {:>9.0} runs/s ({floor:.1?})",
        runs as f64 / floor.as_secs_f64()
    );
    let (took, memory) = replay(&history, runs)?;
    println!(
        "backtest:         {:>9.0} runs/s ({took:.1?}, {:.1} times as long), peak memory {:.0} MiB, {:.0} bytes a run",
        runs as f64 / took.as_secs_f64(),
        took.as_secs_f64() / floor.as_secs_f64(),
        mib(memory),
        memory as f64 / runs as f64
    );
    Ok(())
}

/// Releases one after the other, half a minute between runs that each take five.
fn generate(path: &Path, runs: usize) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for number in 0..runs {
        let release = number / STAGES.len();
        let service = format!("svc{}", release % SERVICES);
        let stage = STAGES[number % STAGES.len()].replace('S', &service);
        let started = Timestamp::from_second(1_500_000_000 + 30 * i64::try_from(number)?)?;
        let version = format!("v1.{}.0", release / SERVICES);
        let base_ref = if number % STAGES.len() < 2 {
            "main"
        } else {
            &version
        };
        let mut job = Job::new(&format!("{service}-controller"), &stage, base_ref, started);
        let ended = Some(started + Duration::from_secs(300));
        job = if (number * 7919).is_multiple_of(BAD) {
            job.ended("failure", "Job failed.", ended)
        } else {
            job.ended("success", "Job succeeded.", ended)
        };
        writeln!(file, "{}", job.to_json())?;
    }
    Ok(file.flush()?)
}

fn parse_all(path: &Path, runs: usize) -> Result<Duration> {
    let began = Instant::now();
    let mut file = BufReader::with_capacity(256 << 10, File::open(path)?);
    let (mut line, mut read) = (Vec::new(), 0);
    while file.read_until(b'\n', &mut line)? > 0 {
        let run = parse::observation(&line, Source::File, Timestamp::UNIX_EPOCH)?;
        read += usize::from(run.is_finished());
        line.clear();
    }
    ensure!(read == runs, "{read} of {runs} were read");
    Ok(began.elapsed())
}

/// Runs the real binary; how long it took and the most memory it held.
fn replay(path: &Path, runs: usize) -> Result<(Duration, u64)> {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
        .args(["--config", "config/ack.yaml"])
        .args(["--config", "tests/data/history/receivers.yaml"])
        .args(["backtest", "--format", "json", "--history"])
        .arg(path)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut summary = String::new();
    let mut out = BufReader::new(child.stdout.take().context("no stdout")?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let memory = runtime.block_on(watch(&mut child))?;
    out.read_line(&mut summary)?;
    let took = began.elapsed();
    let summary: serde_json::Value = serde_json::from_str(&summary)?;
    ensure!(
        summary["runs"] == runs,
        "{} of {runs} were replayed",
        summary["runs"]
    );
    println!("{} messages, {}", summary["messages"], summary["decisions"]);
    Ok((took, memory))
}

/// Waits for the end and looks at the high-water mark of the memory meanwhile.
async fn watch(child: &mut std::process::Child) -> Result<u64> {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let mut most = 0;
    loop {
        ticks.tick().await;
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        most = most.max(kib.unwrap_or_default() * 1024);
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the replay ended with {status}");
            return Ok(most);
        }
    }
}
