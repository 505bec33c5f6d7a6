//! Reading a log of 50 MB: excerpt and signature, beside counting the lines of the same bytes. And what a
//! stream of a million errors, none like another, leaves behind.
//!
//! `cargo bench --bench excerpt`; a number as argument is the size in MB.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench prints and measures, and nothing depends on it"
)]

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    hint::black_box,
    time::{Duration, Instant},
};

use prow_notifier::{
    domain::evidence::CauseClass,
    evidence::{
        LogText,
        excerpt::read_log,
        rules::LogRules,
        signature::{Today, signature},
    },
};

const ROUNDS: usize = 5;

fn main() {
    let megabytes = env::args()
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(50);
    let rules = LogRules::builtin();
    let error = "pkg/resource/table/sdk.go:293:13: undefined: svcapitypes.TableSpec_SDK\n";
    for (name, at, stamped) in [
        ("error at the end", 100, false),
        ("error in the middle", 50, false),
        ("no error", 200, false),
        ("error in the middle, every line with a time", 50, true),
    ] {
        let log = LogText {
            file: "build-log.txt".to_owned(),
            bytes: text(megabytes << 20, at, error, stamped).into_bytes(),
            first_line: Some(1),
            starts_line: true,
        };
        let size = log.bytes.len() as f64 / f64::from(1 << 20);
        let rate = |time: Duration| size / time.as_secs_f64();
        let count = rate(best(|| {
            black_box(memchr::memchr_iter(b'\n', black_box(&log.bytes)).count());
        }));
        let read = rate(best(|| {
            let reading = read_log(black_box(&log), &rules).unwrap();
            let line = &reading.lines[reading.deciding];
            black_box(signature(reading.class, &line.text));
        }));
        println!("{size:.0} MB, {name}: {read:.0} MB/s (counting lines: {count:.0} MB/s)");
    }
    endless();
}

fn endless() {
    let mut today = Today::default();
    let mut kept = BTreeSet::new();
    let began = Instant::now();
    let count = 1_000_000_u32;
    for number in 0..count {
        // Letters, because numbers are masked.
        let words: String = (0..6)
            .map(|place| char::from(b'g' + u8::try_from(number >> (4 * place) & 15).unwrap_or(0)))
            .collect();
        let line =
            format!("Error: the frobnicator {words} refused to {words} the widget of {words}");
        let own = signature(CauseClass::Network, &line);
        kept.insert(today.admit(CauseClass::Network, own, 1));
    }
    let each = began.elapsed() / count;
    println!(
        "{count} errors in a day: {} signatures kept, {each:.1?} an error",
        kept.len()
    );
}

fn best(mut work: impl FnMut()) -> Duration {
    let time = |_| {
        let began = Instant::now();
        work();
        began.elapsed()
    };
    (0..ROUNDS).map(time).min().unwrap_or_default()
}

/// Mostly clean lines, some noise, and one error at so many hundredths.
fn text(size: usize, at: usize, error: &str, stamped: bool) -> String {
    const LINES: [&str; 12] = [
        "go: downloading github.com/aws/aws-sdk-go-v2/service/lambda v1.71.2",
        "ok  \tgithub.com/aws-controllers-k8s/lambda-controller/pkg/resource/function\t0.412s",
        "Copying blob sha256:5506088abc85fb3b1fb7e725f7060d5bab59edfe64874caf61c1bd947d826467",
        "\u{1b}[32m   Compiling\u{1b}[0m serde_json v1.0.154",
        "I1121 06:41:00.123456    3857 controller.go:88] reconciled function default/my-function in 23ms",
        "remote: Counting objects:  12% (430/3578)\rremote: Counting objects: 100% (3578/3578), done.",
        "=== RUN   TestErrorMessageFormat",
        "--- PASS: TestErrorMessageFormat (0.24s)",
        "time=\"2026-11-21T06:41:00Z\" level=warning msg=\"deprecated option errors.stacktrace, ignoring\"",
        "Setting up liberror-perl (0.17029-2) ...",
        "npm warn deprecated inflight@1.0.6: This module is not supported",
        "  creating: dist/lambda-chart/templates/deployment.yaml",
    ];
    let mut text = String::with_capacity(size + 1024);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pending = Some(error);
    while text.len() < size {
        if text.len() >= size / 100 * at
            && let Some(error) = pending.take()
        {
            text.push_str(error);
        }
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        // Two thirds are the plainest lines.
        let pick = usize::try_from(state >> 40).unwrap_or(0) % 36;
        let line = LINES.get(if pick < 12 { pick } else { pick % 3 });
        let stamp = if stamped {
            "2026-11-21T06:41:00.1234567Z "
        } else {
            ""
        };
        writeln!(text, "{stamp}{}", line.unwrap()).unwrap();
    }
    if at == 100 {
        text.push_str(error);
    }
    text
}
