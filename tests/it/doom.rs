//! Runs that cannot succeed any more: who is told, with which command, and what the trail keeps of it.

use jiff::SignedDuration;
use prow_notifier::{slack::preview_text, standin::prow::Job};

use crate::{
    inside::{EACH_JOB_A_STAGE, Inside, failed, passed, start},
    program::{program, repository},
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn rules(more: &str) -> String {
    format!(
        "{EACH_JOB_A_STAGE}routes: [ {{ receiver: team }} ]
pipelines:
  - name: release
    stages:
      - name: publish
      - name: chart
        needs: [publish]
      - name: site
        needs: [chart]
      - name: notes
        needs: [{{ stage: publish, abort_downstream: off }}]
{more}"
    )
}

/// A run that waits for its pod or has one.
fn unfinished(service: &str, job: &str, state: &str) -> Job {
    passed(service, job, start() + 5 * MINUTE).ended(state, "Job triggered.", None)
}

fn texts(inside: &Inside, hook: &str) -> Vec<String> {
    let messages = inside.messages(hook).into_iter();
    messages
        .map(|message| preview_text(&message.payload))
        .collect()
}

#[tokio::test]
async fn a_broken_stage_names_what_it_dooms_with_the_command_that_stops_it() {
    let mut inside = Inside::new(&rules("abort: { namespace: prow }\n")).await;
    let chart = unfinished("s3", "chart", "pending");
    let site = unfinished("s3", "site", "triggered");
    let others = [
        unfinished("s3", "notes", "pending"),
        unfinished("sqs", "chart", "pending"),
    ];
    inside.accept(&others).await;
    inside.accept(&[site.clone(), chart.clone()]).await;
    inside.pass(MINUTE).await;
    let broken = failed("s3", "publish", inside.now());
    inside.accept(std::slice::from_ref(&broken)).await;
    inside.pass(MINUTE).await;
    let [text] = &texts(&inside, "team")[..] else {
        panic!("{:#?}", texts(&inside, "team"));
    };
    assert!(
        text.contains("2 runs of chart and site cannot succeed any more"),
        "{text}"
    );
    let command = |job: &Job| {
        let name = job.name();
        format!(
            "kubectl patch prowjobs.prow.k8s.io {name} --namespace prow --type merge --patch \
             '{{\"status\":{{\"state\":\"aborted\",\"description\":\"Successfully aborted {name}.\"}}}}'"
        )
    };
    let commands: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("kubectl"))
        .collect();
    assert_eq!(commands.len(), 2, "{text}");
    assert!(commands[0].contains(&command(&chart)), "{text}");
    assert!(commands[1].contains(&command(&site)), "{text}");
    for subject in [chart.name(), broken.name()] {
        let shown = program(&["explain", &subject]);
        let shown = shown.config(inside.home().join("config")).run().ok();
        assert!(shown.contains("stops\n"), "{shown}");
        assert!(shown.contains(&format!("suggested to stop chart (run {})", chart.name())));
        assert!(shown.contains(&command(&chart)), "{shown}");
    }
}

#[tokio::test]
async fn nothing_is_doomed_while_a_rerun_may_heal_it() {
    let mut inside = Inside::new(&rules("")).await;
    let rerun = passed("s3", "publish", start() + 6 * MINUTE);
    let rerun = rerun.ended("triggered", "Job triggered.", None);
    inside
        .accept(&[unfinished("s3", "chart", "pending"), rerun])
        .await;
    inside.pass(MINUTE).await;
    inside.accept(&[failed("s3", "publish", start())]).await;
    inside.pass(MINUTE).await;
    let texts = texts(&inside, "team");
    assert_eq!(texts.len(), 1);
    assert!(!texts[0].contains("Doomed"), "{}", texts[0]);
}

#[tokio::test]
async fn work_done_before_and_failures_of_the_cluster_doom_nothing() {
    for first in [
        passed("s3", "publish", start() - 9 * MINUTE),
        unfinished("s3", "other", "pending"),
    ] {
        let mut inside = Inside::new(&rules("")).await;
        inside
            .accept(&[first.clone(), unfinished("s3", "chart", "pending")])
            .await;
        inside.pass(MINUTE).await;
        let mut broken = failed("s3", "publish", start());
        if first.job == "other" {
            broken = broken.ended("error", "Pod pending timeout.", Some(start()));
        }
        inside.accept(&[broken]).await;
        inside.pass(MINUTE).await;
        let texts = texts(&inside, "team");
        assert_eq!(texts.len(), 1, "{}", first.job);
        assert!(!texts[0].contains("Doomed"), "{}", texts[0]);
    }
}

#[tokio::test]
async fn the_limit_of_an_hour_holds_over_a_restart() {
    let mut inside = Inside::new(&rules("abort: { per_hour: 2 }\n")).await;
    for service in ["a", "b", "c", "d"] {
        inside
            .accept(&[unfinished(service, "chart", "pending")])
            .await;
    }
    inside.pass(MINUTE).await;
    for service in ["a", "b", "c"] {
        inside
            .accept(&[failed(service, "publish", inside.now())])
            .await;
        inside.pass(MINUTE).await;
        inside.restart().await;
    }
    let commands = |inside: &Inside| -> usize {
        let texts = texts(inside, "team");
        texts
            .iter()
            .map(|text| text.matches("kubectl").count())
            .sum()
    };
    assert_eq!(commands(&inside), 2);
    let texts = texts(&inside, "team");
    assert!(texts[2].contains("hourly limit"), "{}", texts[2]);
    inside.pass(60 * MINUTE).await;
    inside.accept(&[failed("d", "publish", inside.now())]).await;
    inside.pass(MINUTE).await;
    assert_eq!(commands(&inside), 3, "an hour later there is room again");
}

#[test]
fn a_preview_names_the_doomed_too_and_never_a_hostile_name() {
    let now = start();
    let lines = |hostile: bool| {
        let mut chart = passed("s3", "update-ack-chart", now)
            .ended("pending", "", None)
            .to_json();
        if hostile {
            chart["metadata"]["name"] = "x'; reboot #".into();
        }
        let publish = failed("s3", "s3-post-submit", now).to_json();
        format!("{chart}\n{publish}\n")
    };
    for hostile in [false, true] {
        let ran = program(&["preview", "-"]).config(repository("config/ack.yaml"));
        let text = ran.input(lines(hostile)).run().ok();
        assert!(text.contains("Doomed: the run"), "{text}");
        assert_eq!(text.contains("kubectl patch"), !hostile, "{text}");
    }
}
