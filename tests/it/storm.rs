//! Storms, outages and restarts: what is said, when, and that nothing is lost, hour by hour on a clock of their
//! own.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use prow_notifier::{
    domain::decision::Decision,
    slack::preview_text,
    standin::{
        prow::Job,
        slack::{Forced, Message},
    },
};

use crate::inside::{EACH_JOB_A_STAGE, Inside, failed, passed, start};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn rules(more: &str) -> String {
    format!("{EACH_JOB_A_STAGE}{more}")
}

/// To the team, and no further: what all have in common is told to nobody.
fn to_team() -> String {
    rules("routes: [ { receiver: team } ]\nmass: { jobs: 1000, services: 1000 }\n")
}

fn headline(message: &Message) -> String {
    let text = preview_text(&message.payload);
    text.lines().next().unwrap().to_owned()
}

fn headlines(messages: &[Message]) -> Vec<String> {
    messages.iter().map(headline).collect()
}

/// Failures of that many causes: each job is a stage of its own.
fn causes(count: usize, ended: Timestamp) -> Vec<Job> {
    (0..count)
        .map(|number| failed("s3", &format!("stage-{number:02}"), ended))
        .collect()
}

/// The stages named in headlines, in order, each once.
fn stages(messages: &[Message]) -> Vec<String> {
    let stage = |message: &Message| {
        let headline = headline(message);
        let mut words = headline.split_whitespace();
        let stage = words.find(|word| word.contains("stage-")).unwrap();
        stage.to_owned()
    };
    messages.iter().map(stage).collect()
}

fn assert_gaps_are_backoff(attempts: &[(Timestamp, u16)]) {
    for (index, pair) in attempts.windows(2).enumerate() {
        let [(first, _), (second, _)] = pair else {
            unreachable!()
        };
        let doubled = 1_i64 << index.min(20);
        let full = doubled.min(300);
        let gap = second.duration_since(*first);
        assert!(
            gap >= SignedDuration::from_secs(full) / 2
                && gap <= SignedDuration::from_secs(full + 1),
            "attempt {index}: {gap:?}, not about {full} s"
        );
    }
}

#[tokio::test]
async fn an_hour_without_slack_loses_nothing_and_keeps_the_order() {
    let mut inside = Inside::new(&to_team()).await;
    inside.slack.set_down(true);
    for minute in 0..10 {
        let job = format!("casual-stage-{minute}");
        inside.accept(&[failed("s3", &job, inside.now())]).await;
        inside.pass(MINUTE).await;
        let job = format!("stage-1{minute}");
        inside.accept(&[failed("s3", &job, inside.now())]).await;
        inside.pass(MINUTE).await;
    }
    inside.until(start() + HOUR).await;
    assert_eq!(inside.slack.messages().len(), 0);
    assert_eq!(inside.counts().await.outbox_pending, 20);
    inside.slack.set_down(false);
    inside.pass(SignedDuration::from_mins(10)).await;
    let critical = (0..10).map(|number| format!("stage-1{number}"));
    let casual = (0..10).map(|number| format!("stage-{number}"));
    let expected: Vec<String> = critical.chain(casual).collect();
    assert_eq!(stages(&inside.messages("team")), expected);
    let counts = inside.counts().await;
    assert_eq!((counts.outbox_pending, counts.outbox_dead), (0, 0));
    assert!(inside.slack.violations().is_empty());
}

#[tokio::test]
async fn while_slack_is_down_one_message_probes_it_ever_less_often() {
    let mut inside = Inside::new(&to_team()).await;
    inside.slack.set_down(true);
    inside.accept(&causes(30, inside.now())).await;
    inside.pass(HOUR).await;
    let attempts = inside.answers("team");
    assert_gaps_are_backoff(&attempts);
    assert!((18..35).contains(&attempts.len()), "{}", attempts.len());
    inside.slack.set_down(false);
    inside.pass(SignedDuration::from_mins(10)).await;
    assert_eq!(inside.messages("team").len(), 30);
    assert_eq!(inside.slack.rate_limited(), 0);
    inside.counts().await;
}

#[tokio::test]
async fn sixty_causes_at_once_are_all_told_within_75_seconds() {
    let mut inside = Inside::new(&to_team()).await;
    inside.accept(&causes(60, inside.now())).await;
    inside.pass(75 * SECOND).await;
    let messages = inside.messages("team");
    assert_eq!(messages.len(), 60);
    let told: BTreeSet<String> = stages(&messages).into_iter().collect();
    assert_eq!(told.len(), 60);
    assert!(
        inside.slack.rate_limited() <= 3,
        "{}",
        inside.slack.rate_limited()
    );
    let counts = inside.counts().await;
    assert_eq!(counts.decisions.get(&Decision::Notify), Some(&60));
    assert_eq!(counts.incidents_open, 60);
}

#[tokio::test]
async fn sixty_causes_one_after_the_other_are_told_as_they_come() {
    let mut inside = Inside::new(&to_team()).await;
    for job in causes(60, inside.now()) {
        inside.accept(&[job]).await;
        inside.pass(SECOND).await;
    }
    inside.pass(15 * SECOND).await;
    assert_eq!(inside.messages("team").len(), 60);
    assert!(
        inside.slack.rate_limited() <= 3,
        "{}",
        inside.slack.rate_limited()
    );
    inside.counts().await;
}

#[tokio::test]
async fn a_pace_that_slack_lowers_is_obeyed_to_the_second() {
    let mut inside = Inside::new(&to_team()).await;
    inside.slack.force("team", too_fast(37));
    inside.accept(&causes(3, inside.now())).await;
    inside.pass(36 * SECOND).await;
    assert_eq!(inside.answers("team"), [(start(), 429)]);
    inside.pass(SECOND).await;
    let again = start() + 37 * SECOND;
    assert_eq!(
        inside.answers("team"),
        [(start(), 429), (again, 200), (again, 200), (again, 200)]
    );
    inside.counts().await;
}

fn too_fast(seconds: u32) -> Forced {
    let act = prow_notifier::standin::slack::Act::Answer {
        status: 429,
        headers: vec![("Retry-After".to_owned(), seconds.to_string())],
        body: "{\"ok\":false,\"error\":\"rate_limited\"}".to_owned(),
    };
    Forced::from(act)
}

#[tokio::test]
async fn a_restart_keeps_what_slack_asked_for_and_what_is_still_to_be_sent() {
    let mut inside = Inside::new(&to_team()).await;
    inside.slack.force("team", too_fast(120));
    inside.accept(&causes(4, inside.now())).await;
    inside.pass(SECOND).await;
    inside.restart().await;
    inside.pass(118 * SECOND).await;
    assert_eq!(inside.answers("team"), [(start(), 429)]);
    inside.pass(SECOND).await;
    assert_eq!(
        stages(&inside.messages("team")),
        ["stage-00", "stage-01", "stage-02", "stage-03"]
    );
    assert_eq!(inside.counts().await.outbox_pending, 0);
}

#[tokio::test]
async fn a_restart_after_every_step_says_the_same() {
    let mut said = Vec::new();
    for restarts in [false, true] {
        let mut inside = Inside::new(&to_team()).await;
        for minute in 0..40 {
            let now = inside.now();
            let jobs = match minute {
                // Four services of one stage: two alone, the rest in one message.
                0..=3 => vec![failed(&format!("service-{minute}"), "stage-a", now)],
                5 | 9 | 15 => vec![failed("service-0", "stage-a", now)],
                20 => vec![
                    failed("s3", "stage-b", now),
                    passed("service-1", "stage-a", now),
                ],
                30 => vec![
                    passed("s3", "stage-b", now),
                    passed("service-0", "stage-a", now),
                ],
                _ => Vec::new(),
            };
            if !jobs.is_empty() {
                inside.accept(&jobs).await;
            }
            if restarts {
                inside.restart().await;
            }
            inside.pass(MINUTE).await;
        }
        for _ in 0..3 {
            if restarts {
                inside.restart().await;
            }
            inside.pass(HOUR).await;
        }
        inside.counts().await;
        said.push(
            inside
                .messages("team")
                .iter()
                .map(|message| (message.at, preview_text(&message.payload)))
                .collect::<Vec<_>>(),
        );
    }
    let [straight, restarted] = said.try_into().unwrap();
    assert!(straight.len() >= 6, "{straight:#?}");
    assert_eq!(straight, restarted);
}

#[tokio::test]
async fn the_end_of_a_window_tells_what_came_within_once() {
    let mut inside = Inside::new(&to_team()).await;
    for minutes in [0, 10, 20, 59] {
        inside.until(start() + minutes * MINUTE).await;
        inside
            .accept(&[failed("s3", "stage-a", inside.now())])
            .await;
    }
    inside.until(start() + 59 * MINUTE + 59 * SECOND).await;
    assert_eq!(
        headlines(&inside.messages("team")),
        ["┌ 🔴 s3 v1.2.3: stage-a failed"]
    );
    inside.pass(SECOND).await;
    let messages = inside.messages("team");
    assert_eq!(
        headlines(&messages),
        [
            "┌ 🔴 s3 v1.2.3: stage-a failed",
            "┌ 🔁 s3 v1.2.3: stage-a still failing"
        ]
    );
    insta::assert_snapshot!(preview_text(&messages.last().unwrap().payload), @r"
    ┌ 🔁 s3 v1.2.3: stage-a still failing
    │ 3 more failed runs since the last message, 4 in all.
    │ What broke: the job failed
    │ Controller: s3-controller  Stage: stage-a
    │ Version: v1.2.3            Job: stage-a
    │ Severity: critical         Failing since: 2026-08-20 10:00 UTC
    │ How often: 4 failed runs   Last good run: none on record
    │ Run: https://prow.example.com/view/s3/ack-prow-logs/logs/stage-a/2090391894882126043
    │ History: https://prow.example.com/job-history/s3/ack-prow-logs/logs/stage-a
    │ Commit: https://github.com/aws-controllers-k8s/s3-controller/releases/tag/v1.2.3
    └ aws-controllers-k8s/s3-controller  ·  2026-08-20 11:00 UTC  ·  id:76fb53e8
    ");
    // Nothing more came: silence, though windows end.
    inside.pass(48 * HOUR).await;
    assert_eq!(inside.messages("team").len(), 2);
    let counts = inside.counts().await;
    assert_eq!(counts.decisions.get(&Decision::Deduplicated), Some(&3));
    assert_eq!(counts.decisions.get(&Decision::Notify), Some(&1));
}

#[tokio::test]
async fn windows_of_one_that_keeps_failing_double_up_to_a_day() {
    let mut inside = Inside::new(&to_team()).await;
    for _ in 0..(5 * 24 * 2) {
        inside
            .accept(&[failed("s3", "stage-a", inside.now())])
            .await;
        inside.pass(30 * MINUTE).await;
    }
    let times: Vec<i64> = inside
        .messages("team")
        .iter()
        .map(|message| message.at.duration_since(start()).as_hours())
        .collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31, 55, 79, 103]);
    inside.counts().await;
}

#[tokio::test]
async fn a_message_that_cannot_be_sent_for_a_day_is_a_dead_letter() {
    let mut inside = Inside::new(&to_team()).await;
    inside.slack.set_down(true);
    inside.accept(&causes(2, inside.now())).await;
    inside.pass(24 * HOUR - MINUTE).await;
    let counts = inside.counts().await;
    assert_eq!((counts.outbox_pending, counts.outbox_dead), (2, 0));
    inside.pass(10 * MINUTE).await;
    let counts = inside.counts().await;
    assert_eq!((counts.outbox_pending, counts.outbox_dead), (0, 2));
    let letters = inside.shared().store.dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 2);
    assert!(
        letters
            .iter()
            .all(|letter| letter.reason.contains("rollup_error")),
        "{letters:#?}"
    );
    // It can be sent anew.
    inside.slack.set_down(false);
    let first = letters.last().unwrap().delivery.id;
    assert!(inside.shared().store.replay(first).await.unwrap());
    inside.pass(MINUTE).await;
    assert_eq!(stages(&inside.messages("team")), ["stage-00"]);
    assert_eq!(inside.messages("platform").len(), 0);
}

#[tokio::test]
async fn what_an_archived_channel_refuses_goes_to_the_fallback_with_the_reason() {
    let mut inside = Inside::new(&to_team()).await;
    inside
        .slack
        .force("team", Forced::answer(410, "channel_is_archived"));
    inside.accept(&causes(3, inside.now())).await;
    inside.pass(MINUTE).await;
    // One refusal is enough to know.
    assert_eq!(inside.answers("team").len(), 1);
    let diverted = inside.messages("platform");
    assert_eq!(stages(&diverted), ["stage-00", "stage-01", "stage-02"]);
    for message in &diverted {
        let text = preview_text(&message.payload);
        assert_eq!(text.matches("team").count(), 1, "{text}");
        assert!(text.contains("channel_is_archived"), "{text}");
    }
    let counts = inside.counts().await;
    assert_eq!(counts.outbox_pending, 0);
    // It is asked again after an hour, in case somebody revived it.
    inside.pass(HOUR).await;
    inside
        .accept(&[failed("s3", "stage-later", inside.now())])
        .await;
    inside.pass(MINUTE).await;
    assert_eq!(stages(&inside.messages("team")), ["stage-later"]);
    assert_eq!(inside.messages("platform").len(), 3);
}

#[tokio::test]
async fn a_fallback_that_is_dead_as_well_leaves_dead_letters_and_no_loop() {
    let mut inside = Inside::new(&to_team()).await;
    inside
        .slack
        .force("team", Forced::answer(404, "no_service"));
    inside
        .slack
        .force("platform", Forced::answer(404, "no_service"));
    inside.accept(&causes(2, inside.now())).await;
    inside.pass(MINUTE).await;
    assert_eq!(
        (
            inside.answers("team").len(),
            inside.answers("platform").len()
        ),
        (1, 1)
    );
    let counts = inside.counts().await;
    assert_eq!(
        (counts.outbox_pending, inside.slack.messages().len()),
        (0, 0)
    );
}

#[tokio::test]
async fn forty_red_runs_of_one_stage_are_a_handful_of_messages() {
    let mut inside = Inside::new(&to_team()).await;
    for number in 0..40 {
        let service = format!("service-{number:02}");
        inside
            .accept(&[failed(&service, "stage-a", inside.now())])
            .await;
        inside.pass(30 * SECOND).await;
    }
    inside.pass(HOUR).await;
    let messages = inside.messages("team");
    // Two alone, then one for all, and an update every ten minutes.
    assert!(
        (4..=6).contains(&messages.len()),
        "{:#?}",
        headlines(&messages)
    );
    let all: String = messages
        .iter()
        .map(|message| message.payload.to_string())
        .collect();
    for number in 0..40 {
        assert!(
            all.contains(&format!("service-{number:02}")),
            "service-{number:02} is told"
        );
    }
    let jobs: Vec<Job> = (0..40)
        .map(|number| passed(&format!("service-{number:02}"), "stage-a", inside.now()))
        .collect();
    inside.accept(&jobs).await;
    inside.pass(HOUR).await;
    let counts = inside.counts().await;
    assert_eq!(counts.incidents_open, 0);
    assert_eq!(counts.decisions.get(&Decision::Recovered), Some(&40));
    assert_eq!(
        inside.messages("team").len(),
        messages.len() + 1,
        "{:#?}",
        headlines(&inside.messages("team"))
    );
}
