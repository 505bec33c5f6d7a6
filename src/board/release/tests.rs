//! What the page of a release says of its stages.

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    board::graph::EdgeKind,
    domain::{
        gaps::{EdgeKey, Gaps},
        incident::GoodRun,
        observation::{Observation, RunName},
        pipeline::{Need, Stage},
        prowjob::{Refs, State as ProwState},
        release::{Due, StageSeen},
        samples,
    },
};

fn minute(count: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + count * 60).unwrap()
}

fn need(stage: &str) -> Need {
    Need {
        stage: stage.to_owned(),
        within: Some(Duration::from_secs(600)),
        ..Need::default()
    }
}

fn stage(name: &str, needs: Vec<Need>) -> Stage {
    Stage {
        name: name.to_owned(),
        needs,
        ..Stage::default()
    }
}

/// `pr`, a gate, `tag`, which starts `publish` and `chart`; the latter needs `publish` too; `index` is behind it.
fn pipeline() -> Pipeline {
    let gate = Need {
        gate: true,
        within: None,
        ..need("pr")
    };
    let made = |stage| Need {
        within: None,
        ..need(stage)
    };
    Pipeline {
        name: "rollout".to_owned(),
        matchers: Vec::new(),
        stages: vec![
            stage("pr", Vec::new()),
            stage("tag", vec![gate]),
            stage("publish", vec![need("tag")]),
            stage("chart", vec![need("tag"), made("publish")]),
            Stage {
                shared: true,
                ..stage("index", vec![made("chart")])
            },
        ],
    }
}

fn seen(from: i64, done: Option<i64>, verdict: Verdict, runs: &[&str]) -> StageSeen {
    let run = |name: &str| RunName(name.to_owned());
    StageSeen {
        started_at: minute(from),
        done_at: done.map(minute),
        run: run(runs.last().unwrap()),
        latest_at: minute(from),
        verdict,
        attempts: runs.iter().map(|name| (run(name), verdict)).collect(),
        spent: BTreeMap::new(),
    }
}

fn release(stages: Vec<(&str, StageSeen)>) -> Release {
    let origin = Observation {
        refs: Some(Refs {
            org: "acme".to_owned(),
            repo: "s3-controller".to_owned(),
            ..Refs::default()
        }),
        state: ProwState::Success,
        ..samples::run("origin", "tag")
    };
    Release {
        pipeline: "rollout".to_owned(),
        service: "s3".to_owned(),
        version: "1.4.0".to_owned(),
        stages: stages
            .into_iter()
            .map(|(name, seen)| (name.to_owned(), seen))
            .collect(),
        due: BTreeMap::new(),
        waiting: BTreeMap::new(),
        late: None,
        restarted_at: None,
        done_at: None,
        hand_made: false,
        origin: Box::new(origin),
    }
}

fn tagged() -> (&'static str, StageSeen) {
    ("tag", seen(0, Some(1), Verdict::Pass, &["tag-1"]))
}

/// The stages as they are seen at a minute.
fn look(
    release: &Release,
    parts: &Parts,
    healed: &BTreeMap<String, GoodRun>,
    now: i64,
) -> (State, Vec<StageView>) {
    let pipelines = [pipeline()];
    let standing = stages::standing(release, &pipelines, &[], healed);
    let scene = Scene {
        release,
        pipeline: &pipelines[0],
        parts,
        healed,
        now: minute(now),
    };
    let whole = stages::whole(release, &pipelines, &standing);
    (whole, scene.stages(&standing))
}

fn told(views: &[StageView]) -> Vec<String> {
    views
        .iter()
        .map(|view| {
            format!(
                "{}: {} / {}",
                view.name,
                view.state.glyph().word,
                view.detail
            )
        })
        .collect()
}

#[test]
fn every_planned_stage_is_told_with_what_it_waits_for() {
    let mut release = release(vec![
        tagged(),
        ("chart", seen(2, None, Verdict::Running, &["chart-1"])),
    ]);
    let due = Due {
        by: minute(11),
        after: "tag".to_owned(),
        since: minute(1),
        person: false,
    };
    release.due.insert("publish".to_owned(), due);
    let mut parts = Parts::default();
    let usual = Duration::from_secs(300);
    parts.usual.insert("chart".to_owned(), usual);
    let (whole, views) = look(&release, &parts, &BTreeMap::new(), 4);
    insta::assert_snapshot!(told(&views).join("\n"), @r"
    pr: unknown / was not seen, though something behind it has started
    tag: good / took 1 min
    publish: not started / is to start within 7 min
    chart: running / has run for 2 min; 19 of 20 good runs ended within 5 min
    index: not started / comes after chart
    ");
    assert_eq!(whole, State::Running);
    let late = look(&release, &parts, &BTreeMap::new(), 14).1;
    assert_eq!(late[2].detail, "should have started 3 min ago");
    assert_eq!(late[2].due_by, Some(minute(11)));
}

#[test]
fn a_stage_behind_a_gate_waits_for_a_person() {
    let release = release(vec![("pr", seen(0, Some(3), Verdict::Pass, &["pr-1"]))]);
    let (whole, views) = look(&release, &Parts::default(), &BTreeMap::new(), 60);
    assert_eq!(views[1].detail, "a person starts it after pr");
    assert_eq!((views[1].state, whole), (State::Waiting, State::Waiting));
    assert_eq!(views[1].needs[0].kind, EdgeKind::Gate);
}

#[test]
fn a_deadline_is_the_learned_one() {
    let edge = EdgeKey::of(&pipeline(), &need("tag"), "publish");
    let mut parts = Parts::default();
    parts.gaps.insert(edge, Gaps(vec![3600; 20]));
    let release = release(vec![tagged()]);
    let views = look(&release, &parts, &BTreeMap::new(), 5).1;
    // This edge does not learn.
    assert_eq!(views[2].needs[0].within_s, Some(600));
}

#[test]
fn one_success_of_a_shared_stage_is_everybodys_when_it_came_later() {
    let done = |at| seen(at - 1, Some(at), Verdict::Pass, &["a"]);
    let release = release(vec![tagged(), ("publish", done(5)), ("chart", done(9))]);
    let good = |at| {
        let run = GoodRun {
            run: RunName("other".to_owned()),
            at: minute(at),
            base_ref: "main".to_owned(),
            base_sha: None,
            owner: None,
        };
        BTreeMap::from([("acme|index".to_owned(), run)])
    };
    let parts = Parts::default();
    let (whole, views) = look(&release, &parts, &good(20), 30);
    assert_eq!(views[4].detail, "done for all services, last 10 min ago");
    assert_eq!(whole, State::Healthy);
    let earlier = look(&release, &parts, &good(8), 30).1;
    assert_eq!(earlier[4].state, State::Planned);
}

#[test]
fn the_longest_way_is_bold_from_its_start_to_its_end() {
    let release = release(vec![
        tagged(),
        ("publish", seen(1, Some(40), Verdict::Pass, &["publish-1"])),
        ("chart", seen(2, Some(50), Verdict::Pass, &["chart-1"])),
    ]);
    let views = look(&release, &Parts::default(), &BTreeMap::new(), 60).1;
    let way: Vec<&str> = views
        .iter()
        .filter(|view| view.critical_path)
        .map(|view| view.name.as_str())
        .collect();
    assert_eq!(way, ["pr", "tag", "publish", "chart"]);
    let drawn = stages::picture(&views);
    assert_eq!(drawn.boxes.len(), 5);
    assert_eq!(drawn.edges.iter().filter(|edge| edge.critical).count(), 3);
}

#[test]
fn runs_stand_on_the_axis_and_repeated_ones_among_what_was_done_by_hand() {
    let release = release(vec![
        tagged(),
        (
            "publish",
            seen(
                2,
                None,
                Verdict::AbortedByHuman,
                &["publish-1", "publish-2"],
            ),
        ),
    ]);
    let run = |name: &str, from: i64, to: Option<i64>, verdict| Run {
        name: RunName(name.to_owned()),
        job: crate::domain::job::JobKey("job".to_owned()),
        state: "x".to_owned(),
        verdict,
        started_at: Some(minute(from)),
        pending_at: None,
        finished_at: to.map(minute),
        incident: None,
        base_ref: "v1.4.0".to_owned(),
        base_sha: None,
        url: None,
        alias: None,
        inferred: false,
        provisional: false,
        release: None,
        facts: None,
    };
    let runs = [
        run("tag-1", 0, Some(1), Verdict::Pass),
        run("publish-1", 2, Some(5), Verdict::Fail),
        run("publish-2", 8, Some(10), Verdict::AbortedByHuman),
    ];
    let drawn = axis::draw(&release, &runs, minute(60)).unwrap();
    let bars: Vec<(&str, usize, usize)> = drawn
        .rows
        .iter()
        .flat_map(|row| {
            row.bars
                .iter()
                .map(|bar| (row.stage.as_str(), bar.attempt, 0))
        })
        .collect();
    assert_eq!(bars, [("tag", 1, 0), ("publish", 1, 0), ("publish", 2, 0)]);
    let inside = drawn.rows.iter().flat_map(|row| &row.bars);
    assert!(inside.clone().all(|bar| bar.x + bar.width <= drawn.width));
    let by_hand: Vec<(String, String)> = actions(&release, &runs)
        .into_iter()
        .map(|action| (action.run, action.what))
        .collect();
    let expected = [
        ("publish-2", "run again"),
        ("publish-2", "stopped by a person"),
    ];
    assert_eq!(
        by_hand,
        expected.map(|(run, what)| (run.to_owned(), what.to_owned()))
    );
    assert!(axis::draw(&release, &[], minute(60)).is_none());
}
