//! Tests of the whole store on real files, driven as the pipeline drives it.

mod durability;
mod history;
mod intake;
mod releases;
mod sending;
mod slices;

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;

use super::{inbox::Numbers, threads::Session, *};
use crate::domain::{
    classify::{Assignments, Rule, Severity, Template},
    flush::Told,
    incident::IncidentId,
    matcher::Matcher,
    observation::{Observation, RunName, Source},
    observe::{Outcome, Reading},
    policy::Policy,
    prowjob::{JobType, Refs, State as ProwState},
    route::{Reach, Route, Routing},
    samples,
    state::State,
};

fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// A run of a service's release job, still pending.
fn pending(name: &str, service: &str) -> Observation {
    Observation {
        source: Source::Webhook,
        seen_at: start(),
        refs: Some(Refs {
            org: "acme".to_owned(),
            repo: format!("{service}-controller"),
            base_ref: "main".to_owned(),
            ..Refs::default()
        }),
        state: ProwState::Pending,
        url: Some(format!(
            "https://prow.example.org/view/gs/b/logs/{service}-release/{name}"
        )),
        build_id: Some(format!("19{name}")),
        started_at: Some(start()),
        ..samples::run(name, &format!("{service}-release"))
    }
}

/// The same run, over, so many minutes after the start.
fn ended(name: &str, service: &str, state: ProwState, minute: u64) -> Observation {
    Observation {
        state,
        completed_at: Some(start() + minutes(minute)),
        ..pending(name, service)
    }
}

fn failed(name: &str, service: &str, minute: u64) -> Observation {
    ended(name, service, ProwState::Failure, minute)
}

fn passed(name: &str, service: &str, minute: u64) -> Observation {
    ended(name, service, ProwState::Success, minute)
}

/// `docs` is not critical and collected for `archive`; all else is critical and goes to `team` at once.
fn policy() -> Policy {
    let rule = |name: &str, matcher: &str, severity| Rule {
        name: name.to_owned(),
        matchers: vec![Matcher::parse(matcher).unwrap()],
        set: Assignments {
            service: Some(Template::parse("$service")),
            stage: Some(Template::parse(name)),
            severity: Some(severity),
            ..Assignments::default()
        },
    };
    Policy {
        rules: vec![
            rule(
                "docs",
                r#"repo=~"(?<service>docs).*""#,
                Severity::NonCritical,
            ),
            rule(
                "release",
                r#"repo=~"(?<service>.+)-controller""#,
                Severity::Critical,
            ),
        ],
        routing: Routing {
            routes: vec![Route {
                matchers: vec![Matcher::parse(r#"severity="non-critical""#).unwrap()],
                receiver: "archive".to_owned(),
                digest: Some(minutes(30)),
                continues: false,
                mute: Vec::new(),
            }],
            receivers: vec![
                ("archive".to_owned(), Reach::Single),
                ("team".to_owned(), Reach::Single),
            ],
            default_receiver: Some("team".to_owned()),
        },
        ..Policy::default()
    }
}

/// A store in a folder of its own, and the worker's state.
struct World {
    store: Store,
    state: State,
    policy: Policy,
    clock: Clock,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(start());
        let store = Store::open(&folder.path().join("state.db"), clock.clone())
            .await
            .unwrap();
        Self {
            store,
            state: State::default(),
            policy: policy(),
            clock,
            folder,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn inbox_path(&self) -> PathBuf {
        self.folder.path().join("state.inbox.db")
    }

    /// Stops without a word and starts again from what is on the disk.
    async fn restart(&mut self) {
        self.store = Store::open(&self.path(), self.clock.clone()).await.unwrap();
        self.state = self.store.load_hot().await.unwrap();
    }

    /// One turn of the worker, up to but without the commit.
    async fn decide(&mut self, more_to_come: bool) -> (Work, Vec<Outcome>) {
        let now = self.clock.now();
        let claim = self.store.claim(500, now).await.unwrap();
        let mut wanted = Wanted::default();
        for row in &claim.rows {
            let run = &row.observation;
            let reading = Reading::of(&self.policy, run, None);
            wanted.sightings.push(Sighting::of(run));
            let concerned = self.state.concerns(&self.policy, run, &reading);
            wanted.incidents.extend(concerned);
            wanted.releases.extend(reading.release(&self.policy));
        }
        self.store
            .load_slice(&mut self.state, wanted, now)
            .await
            .unwrap();
        let mut work = Work::default();
        let mut outcomes = Vec::new();
        for row in &claim.rows {
            let outcome = self.state.observe(&self.policy, &row.observation, now);
            work.done.push(row.seq);
            work.decisions
                .push(DecisionRow::new(&row.observation, outcome.clone(), now));
            outcomes.push(outcome);
        }
        work.poisoned = claim.poisoned;
        let missing = Wanted {
            incidents: self.state.missing(now),
            releases: self.state.missing_releases(now),
            ..Wanted::default()
        };
        self.store
            .load_slice(&mut self.state, missing, now)
            .await
            .unwrap();
        work.told = self.state.flush(&self.policy, now, more_to_come);
        work.state = Work::changes(&mut self.state);
        self.state.forget_slices();
        (work, outcomes)
    }

    async fn turn(&mut self, more_to_come: bool) -> (Vec<Outcome>, Vec<Told>) {
        let (work, outcomes) = self.decide(more_to_come).await;
        let told = work.told.clone();
        self.store.commit(work).await.unwrap();
        (outcomes, told)
    }

    async fn accept_and_turn(&mut self, observations: Vec<Observation>) -> Vec<Told> {
        self.store.accept(observations).await.unwrap();
        self.turn(false).await.1
    }

    /// Runs SQL on the main file's writing connection.
    async fn sql(&self, sql: &'static str) {
        let run = move |session: &mut Session<Jobs>| session.conn.execute_batch(sql);
        self.store.main.write(run).await.unwrap();
    }

    /// Runs SQL on the inbox's writing connection.
    async fn inbox_sql(&self, sql: &'static str) {
        let run = move |session: &mut Session<Numbers>| session.conn.execute_batch(sql);
        self.store.inbox.file.write(run).await.unwrap();
    }

    /// Lets a connection that writes see its file as full after a few more pages.
    async fn fill(&self, inbox: bool) {
        let limit = |conn: &Connection| {
            let pages: i64 = conn.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            conn.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 8))
        };
        if inbox {
            let file = &self.store.inbox.file;
            file.write(move |session| limit(&session.conn)).await
        } else {
            let file = &self.store.main;
            file.write(move |session| limit(&session.conn)).await
        }
        .unwrap();
    }

    /// Numbers that stand in the inbox's file.
    fn stored(&self) -> Vec<i64> {
        let conn = Connection::open(self.inbox_path()).unwrap();
        let mut rows = conn.prepare("SELECT seq FROM inbox").unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// What waits: names of runs, in order.
    async fn waiting(&self) -> Vec<String> {
        let claim = self.store.claim(10_000, self.clock.now()).await.unwrap();
        let names = claim.rows.into_iter().map(|row| row.observation.run.0);
        names.collect()
    }

    /// What stands in the main file, table by table, for comparing before and after.
    fn dump(&self) -> Vec<String> {
        let conn = Connection::open(self.path()).unwrap();
        let mut lines = Vec::new();
        for table in [
            "counters",
            "parked",
            "poison",
            "runs",
            "decisions",
            "incidents",
            "causes",
            "folds",
            "notifications",
            "outbox",
        ] {
            let mut rows = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let columns = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let values: Vec<String> = (0..columns)
                    .map(|column| format!("{:?}", row.get_ref(column).unwrap()))
                    .collect();
                lines.push(format!("{table}: {}", values.join(" ")));
            }
        }
        lines
    }
}

fn names(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes
        .iter()
        .map(|outcome| outcome.decision.as_str())
        .collect()
}
