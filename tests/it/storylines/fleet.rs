//! A fleet release of 52 versions, 19 and 20 May 2026: ten versions were not tagged, so 32 others did not reach the
//! umbrella chart for a day.

use insta::assert_snapshot;
use jiff::SignedDuration;

use super::{HOUR, Story, Told, at};

/// The first tags, which all went well.
const FIRST: [&str; 5] = [
    "eks",
    "networkfirewall",
    "route53",
    "opensearchserverless",
    "eventbridge",
];
/// Merged, and not tagged.
const UNTAGGED: [&str; 10] = [
    "opensearchservice",
    "pipes",
    "athena",
    "kinesis",
    "elbv2",
    "apigatewayv2",
    "recyclebin",
    "documentdb",
    "efs",
    "ec2",
];
/// Tagged, and missing in the umbrella chart.
const UNCHARTED: usize = 32;

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

fn uncharted() -> impl Iterator<Item = (i64, String)> {
    (0..).zip((0..UNCHARTED).map(|number| format!("tagged{number:02}")))
}

async fn told() -> Told {
    let mut story = Story::default();
    for (number, service) in (0..).zip(FIRST) {
        let tagged = at("2026-05-19T20:34:57Z") + seconds(number);
        story.tag(service, "1.4.0", tagged);
        story.chart(service, "1.4.0", tagged, None);
    }
    for (number, service) in (0..).zip(UNTAGGED) {
        let failed = at("2026-05-19T20:35:30Z") + seconds(127 * number);
        let log = format!(
            "[INFO] Pushing tags to {service}-controller\n[ERROR] Failed to push tags for {service}-controller\n"
        );
        story.tagging(service, failed, "failure", log);
    }
    for (number, service) in uncharted() {
        let tagged = match number {
            0..30 => at("2026-05-19T20:35:11Z") + seconds(37 * number),
            30 => at("2026-05-19T21:38:20Z"),
            _ => at("2026-05-19T22:49:00Z"),
        };
        story.tag(&service, "1.4.0", tagged);
        story.chart(&service, "1.4.0", tagged, Some("athena"));
    }
    for (number, service) in (0..).zip(UNTAGGED) {
        let tagged = at("2026-05-20T19:54:30Z") + seconds(19 * number);
        story.tag(service, "1.4.0", tagged);
        let ended = at("2026-05-20T22:28:52Z") + seconds(200 * number);
        story.queued_chart(service, "1.4.0", tagged, ended);
    }
    Told::by(story, 24 * HOUR).await
}

#[tokio::test]
async fn forty_red_runs_are_one_message_per_channel_and_a_few_for_the_platform() {
    let told = told().await;
    assert_snapshot!(told.headlines("platform"), @r"
    05-19 20:35 🔴 opensearchservice (main): release-tag failed
    05-19 20:37 🔴 pipes (main): release-tag failed
    05-19 20:39 🔴 athena (main): release-tag fails too, 3 services in all
    05-19 20:49 🔴 release-tag fails in 7 services, 4 new
    05-19 21:09 🔴 release-tag fails in 10 services, 3 new
    05-20 02:40 🔴 tagged00 v1.4.0: umbrella-chart-update failed
    05-20 02:50 🔴 umbrella-chart-update fails in 32 services, 16 new
    05-20 03:10 🔴 umbrella-chart-update fails in 32 services, 13 new
    05-20 03:50 🔴 tagged30 v1.4.0: umbrella-chart-update fails too, 32 services in all
    05-20 04:54 🔴 tagged31 v1.4.0: umbrella-chart-update fails too, 32 services in all
    05-20 19:54 ✅ opensearchservice v1.4.0: release-tag recovered
    05-20 19:57 ✅ release-tag recovered in 9 services
    05-20 22:28 ✅ umbrella-chart-update recovered in 32 services
    ");
    let storm = at("2026-05-19T21:00:00Z");
    let early = told
        .to("platform")
        .iter()
        .filter(|(at, _)| *at < storm)
        .count();
    assert!(early <= 5, "{early}");
    for (_, service) in uncharted() {
        assert_eq!(events(&told, &service), ["🔴", "✅"], "{service}");
    }
    for service in UNTAGGED {
        assert_eq!(events(&told, service), ["🔴", "✅"], "{service}");
        let (back, text) = told.to(service)[1].clone();
        assert!(text.contains("release-tag recovered"), "{text}");
        assert!(back >= at("2026-05-20T19:54:30Z") && back <= at("2026-05-20T20:10:00Z"));
    }
    assert_snapshot!(told.headlines("efs"), @r"
    05-19 20:52 🔴 efs (main): release-tag failed
    05-20 19:57 ✅ efs v1.4.0: release-tag recovered
    ");
    assert_snapshot!(told.headlines("tagged07"), @r"
    05-19 20:44 🔴 tagged07 v1.4.0: umbrella-chart-update failed
    05-20 22:28 ✅ tagged07 v1.4.0: umbrella-chart-update recovered
    ");
    for service in FIRST {
        assert_eq!(told.to(service), [], "{service}");
    }
    assert_eq!(told.inside.counts().await.incidents_open, 0);
}

/// The mark of each message to a channel.
fn events(told: &Told, channel: &str) -> Vec<String> {
    let told = told.to(channel).into_iter();
    told.map(|(_, text)| text.split_whitespace().nth(1).unwrap().to_owned())
        .collect()
}
