//! `demo` as a command: it ends by itself, and its summary names what no single red run shows.

use crate::program::program;

#[test]
fn the_demo_ends_with_a_stalled_release_and_a_root_cause_with_what_it_knocked_over() {
    let out = program(&["demo", "--once"]).run().ok();
    let (story, summary) = out.split_once("What happened").unwrap();
    assert!(
        story.contains("the fleet release of 53 ACK controllers"),
        "{out}"
    );
    let row = |name: &str| {
        let mut rows = summary
            .lines()
            .filter_map(|line| line.trim().strip_prefix(name));
        rows.next()
            .map(|rest| rest.trim().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(
        row("stalled release"),
        "found without a red run: 🔴 wafv2 v1.4.0: publish did not start"
    );
    assert_eq!(
        row("root cause"),
        "publish of s3 knocked over the chart of 4 services: each told in its own channel, #platform 0 times"
    );
    let (_, end) = story.rsplit_once("🔴 s3 v1.4.1: publish failed").unwrap();
    assert!(end.contains("Blocks: umbrella-chart-update"), "{end}");
    assert!(!end.contains("#platform"), "{end}");
    let observations = row("observations");
    let mut counts = observations
        .split_whitespace()
        .filter_map(|word| word.parse::<u32>().ok());
    assert_eq!(counts.next(), counts.next(), "{observations}");
    assert!(row("Slack's answers").ends_with("0 of 429, 0 refused for their form"));
}
