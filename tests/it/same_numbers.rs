//! One history, three places: a figure on the page, in the API and in `/metrics` is the same figure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{clock::Clock, domain::time::words, standin::prow::Job};
use serde_json::Value;

use crate::context::{Context, Reply, Setup, run};

/// The three places are asked one after the other, and what counts from now on grows in between.
const LATER_S: i32 = 30;

/// Two stages, both seen at work; what runs it is sorted by its name.
const RULES: &str = r#"
watch: { types: [postsubmit] }
classify:
  - name: stages
    match: ['repo=~"(?<service>.+)-controller"', 'job=~".+-(?<stage>publish|bundle)"']
    set: { service: "$service", stage: "$stage", severity: critical }
pipelines:
  - name: release
    match: ['org="aws-controllers-k8s"']
    stages:
      - name: publish
      - name: bundle
        needs: [{ stage: publish, within: 30m }]
"#;

/// How a figure is written.
#[derive(Clone, Copy)]
enum Form {
    /// A part of one; in percent elsewhere, and rounded to a whole number on the page.
    Ratio,
    /// The same with one decimal on the page.
    Tenths,
    /// Seconds, in words on the page.
    Seconds,
    /// Seconds until now.
    Until,
    /// A number.
    Count,
    /// A number with one decimal on the page.
    Mean,
}

use Form::{Count, Mean, Ratio, Seconds, Tenths, Until};

/// Its name in `/metrics`, its place among the API's totals, its form, the tile on the page, what stands before it there.
const FLEET: [(&str, &str, Form, &str, &str); 16] = [
    (
        "release_success_ratios",
        "/success/percent",
        Ratio,
        "Release success",
        "",
    ),
    (
        "releases_in_flight",
        "/in_flight",
        Count,
        "Release success",
        "in time, ",
    ),
    (
        "releases_finished",
        "/success/n",
        Count,
        "Release success",
        "n=",
    ),
    (
        "release_first_try_ratios",
        "/first_try/percent",
        Ratio,
        "First try",
        "",
    ),
    (
        "release_lead_time_median_seconds",
        "/lead_p50_s",
        Seconds,
        "Lead time",
        "",
    ),
    (
        "release_lead_time_p90_seconds",
        "/lead_p90_s",
        Seconds,
        "Lead time",
        "90 % within ",
    ),
    (
        "time_to_detect_median_seconds",
        "/mttd_p50_s",
        Seconds,
        "Time to detect",
        "",
    ),
    (
        "time_to_recover_median_seconds",
        "/mttr_p50_s",
        Seconds,
        "Time to recover",
        "",
    ),
    (
        "incidents",
        "/incidents",
        Count,
        "Time to recover",
        "median of ",
    ),
    (
        "open_incident_longest_seconds",
        "/open_at_least_s",
        Until,
        "Time to recover",
        "at least ",
    ),
    (
        "detection_latency_p95_seconds",
        "/detection_p95_s",
        Seconds,
        "Our delay",
        "",
    ),
    (
        "manual_interventions",
        "/interventions",
        Count,
        "Interventions",
        "",
    ),
    (
        "retry_tax_ratios",
        "/retry_tax_percent",
        Tenths,
        "Retry tax",
        "",
    ),
    ("soft_failures", "/soft_failed", Count, "Soft failures", ""),
    (
        "messages_per_incident",
        "/messages_per_incident",
        Mean,
        "Noise",
        "",
    ),
    (
        "infra_failures_ratios",
        "/infra/percent",
        Ratio,
        "Infrastructure",
        "",
    ),
];

/// What each service has: in `/metrics`, in its row of the API, and its column on the page.
const OF_SERVICES: [(&str, &str, Form, usize); 4] = [
    (
        "service_release_success_ratios",
        "/success/percent",
        Ratio,
        0,
    ),
    (
        "service_release_first_try_ratios",
        "/first_try/percent",
        Ratio,
        1,
    ),
    (
        "service_release_lead_time_median_seconds",
        "/lead_p50_s",
        Seconds,
        2,
    ),
    (
        "service_last_good_release_age_seconds",
        "/last_good_age_s",
        Until,
        5,
    ),
];

impl Form {
    /// Whether a sample says what the API says.
    fn is_same(self, sample: f64, told: &Value) -> bool {
        let Some(told) = told.as_f64() else {
            return sample.is_nan();
        };
        let of_one = match self {
            Ratio | Tenths => sample * 100.0,
            Seconds | Until | Count | Mean => sample,
        };
        let apart = if matches!(self, Until) {
            f64::from(LATER_S)
        } else {
            1e-9
        };
        (of_one - told).abs() <= apart
    }

    /// How it may stand on the page.
    fn on_page(self, told: &Value) -> Vec<String> {
        let Some(number) = told.as_f64() else {
            return vec!["–".to_owned(), "none".to_owned()];
        };
        match self {
            Ratio => vec![format!("{number:.0} %")],
            Tenths => vec![format!("{number:.1} %")],
            Mean => vec![format!("{number:.1}")],
            Count => vec![told.to_string()],
            Seconds => vec![words(told.as_i64().unwrap())],
            Until => {
                let seconds = told.as_i64().unwrap();
                (seconds - i64::from(LATER_S)..=seconds + i64::from(LATER_S))
                    .map(words)
                    .collect()
            }
        }
    }
}

/// A run of a service's release that began so many minutes ago and took so many.
fn ran(service: &str, job: &str, state: &str, ago: i64, took: i64) -> Job {
    let minutes = SignedDuration::from_mins;
    // Whole seconds: that is all that ProwJobs have.
    let now = Timestamp::from_second(Clock::System.now().as_second()).unwrap();
    let began = now - minutes(ago);
    let job = job.replace('*', service);
    Job::new(&format!("{service}-controller"), &job, "v1.2.3", began).ended(
        state,
        "Job ended.",
        Some(began + minutes(took)),
    )
}

/// One release at the first try, one at the second, and one that is broken.
async fn history(ctx: &Context) {
    for job in [
        ran("lambda", "*-publish", "success", 90, 11),
        ran("lambda", "*-bundle", "success", 78, 4),
        ran("s3", "*-publish", "failure", 80, 5),
        ran("s3", "*-publish", "success", 60, 7),
        ran("s3", "*-bundle", "success", 52, 4),
        ran("sqs", "*-publish", "error", 40, 2),
    ] {
        ctx.webhook(&job).await;
        ctx.settle().await;
    }
}

fn setup() -> Setup {
    let mut setup = Setup::default().unpaced();
    setup.rules = RULES;
    setup
}

/// The samples of `/metrics`.
async fn metrics(ctx: &Context) -> BTreeMap<String, f64> {
    let text = Reply::to(ctx.request("GET", "/metrics")).await.text;
    let samples = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("prow_notifier_")?.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    });
    samples.collect()
}

async fn api(ctx: &Context, path: &str) -> Value {
    let text = Reply::to(ctx.request("GET", path)).await.text;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// What people read between two pieces of a page.
fn read(page: &str, from: &str, to: &str) -> String {
    let (_, rest) = page
        .split_once(from)
        .unwrap_or_else(|| panic!("{from} is not in {page}"));
    let (inside, _) = rest.split_once(to).unwrap();
    let tag = regex::Regex::new("<[^>]*>").unwrap();
    let text = tag.replace_all(inside, " ").replace('\u{a0}', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a text says one of these right behind a beginning, and not merely a longer number.
fn says(text: &str, before: &str, one_of: &[String]) -> bool {
    let Some((_, rest)) = text.split_once(before) else {
        return false;
    };
    one_of.iter().any(|one| {
        let rest = rest.strip_prefix(one.as_str());
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
    })
}

#[tokio::test]
async fn page_api_and_metrics_tell_the_same_numbers() {
    run(setup(), async |ctx| {
        history(ctx).await;
        // Figures are kept for a minute in /metrics; a new process has none yet.
        ctx.stop().await;
        ctx.start().await;
        let samples = metrics(ctx).await;
        let told = api(ctx, "/api/v1/trends?days=30").await;
        let page = Reply::to(ctx.request("GET", "/trends?days=30")).await.text;
        // Else all might agree on nothing at all.
        let total = &told["total"];
        assert_eq!(total["success"]["n"], 2, "{total}");
        assert_eq!(total["first_try"]["count"], 1, "{total}");
        assert_eq!(total["in_flight"], 1, "{total}");
        assert_eq!(total["interventions"], 1, "{total}");
        assert_eq!(
            (&total["incidents"], &total["open"]),
            (&2.into(), &1.into()),
            "{total}"
        );
        // s3 broke 75 minutes ago and was good again 53 minutes ago; sqs has been broken for 38 minutes.
        assert_eq!(total["mttr_p50_s"], 22 * 60, "{total}");
        for (name, place, form, tile, before) in FLEET {
            let value = total.pointer(place).unwrap();
            assert!(
                form.is_same(samples[name], value),
                "{name}: {} and {value}",
                samples[name]
            );
            let text = read(&page, &format!("<dt>{tile}</dt>"), "</div>");
            assert!(
                says(&text, before, &form.on_page(value)),
                "{name}: {value} and “{text}”"
            );
        }
        let mut rows = 0;
        for one in told["by_service"].as_array().unwrap() {
            let service = one["service"].as_str().unwrap();
            let text = page.split_once("id=\"by-service\"").unwrap().1;
            let (_, row) = text.split_once(&format!("href=\"/s/{service}\"")).unwrap();
            let (row, _) = row.split_once("</tr>").unwrap();
            let cells: Vec<String> = row
                .split("<td")
                .skip(1)
                .map(|cell| read(cell, ">", "</td>"))
                .collect();
            for (name, place, form, column) in OF_SERVICES {
                let value = one.pointer(place).unwrap();
                let sample = samples.get(&format!("{name}{{service=\"{service}\"}}"));
                let sample = sample.copied().unwrap_or(f64::NAN);
                assert!(
                    form.is_same(sample, value),
                    "{name} of {service}: {sample} and {value}"
                );
                let cell = &cells[column];
                assert!(
                    says(cell, "", &form.on_page(value)),
                    "{name} of {service}: {value} and {cell}"
                );
            }
            rows += 1;
        }
        assert_eq!(rows, 3);
        ctx.messages(ctx.unread()).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_open_and_what_was_accepted_counts_alike_everywhere() {
    run(setup(), async |ctx| {
        history(ctx).await;
        let samples = metrics(ctx).await;
        let now = api(ctx, "/api/v1/now").await;
        let first = Reply::to(ctx.request("GET", "/")).await.text;
        let open = now["open"].as_array().unwrap().len();
        assert_eq!(open, 1);
        assert_eq!(samples["open_incidents"].to_string(), open.to_string());
        assert_eq!(first.matches("id=\"incident-").count(), open);
        for counter in now["counters"].as_array().unwrap() {
            let state = counter["state"].as_str().unwrap();
            let link = format!("<a href=\"/services?state={state}\"><strong>");
            let shown = read(&first, &link, "</strong>");
            assert_eq!(shown, counter["services"].to_string(), "{state}");
        }
        // Two jobs that ran once each say little; that the release is through says enough.
        let lambda = api(ctx, "/api/v1/services/lambda").await;
        assert_eq!(lambda["service"]["state"], "healthy", "{lambda}");
        let told = api(ctx, "/api/v1/trends?days=30").await["conservation"].take();
        let text = Reply::to(ctx.request("GET", "/deliveries")).await.text;
        let text = read(&text, "id=\"conservation\"", "</p>");
        for (fate, key, word) in [
            ("accepted", "accepted", "accepted"),
            ("decided", "decided", "decided"),
            ("waiting", "waiting", "waiting"),
            ("set-aside", "set_aside", "set aside"),
        ] {
            let sample = samples[&format!("stored_observations{{fate=\"{fate}\"}}")];
            assert_eq!(Some(sample), told[key].as_f64(), "{fate}");
            assert!(
                text.contains(&format!("{} {word}", told[key])),
                "{fate}: {text}"
            );
        }
        assert_eq!(told["accepted"], 6, "{told}");
        ctx.messages(ctx.unread()).await;
    })
    .await;
}
