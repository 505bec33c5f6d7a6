//! Tests of the whole store on real files, driven as the pipeline drives it.

/// Runs tests of this module once more, on PostgreSQL.
macro_rules! on_postgres {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(
                #[test]
                fn $name() {
                    crate::store::tests::with_postgres(super::$name);
                }
            )*
        }
    };
}

mod durability;
mod history;
mod intake;
#[path = "../../tests/it/context/postgres.rs"]
#[allow(dead_code, reason = "the tests of the whole program use the rest")]
mod postgres;
mod releases;
mod replicas;
mod sending;
mod slices;

use std::{cell::Cell, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use tempfile::TempDir;

use super::{inbox::Numbers, sql::Connection, threads::Session, *};
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

thread_local! {
    static ON_POSTGRES: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test whose worlds are on PostgreSQL.
fn with_postgres(test: fn()) {
    if postgres::shared().is_some() {
        ON_POSTGRES.set(true);
        test();
    }
}

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
    /// The database's address, unless it is a file in the folder.
    server: Option<StoreUrl>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(start());
        let server = ON_POSTGRES.get().then(|| {
            let url = postgres::new_database().unwrap();
            StoreUrl::parse(&url, None).unwrap()
        });
        let url = server
            .clone()
            .unwrap_or_else(|| StoreUrl::Sqlite(folder.path().join("state.db")));
        let store = Store::connect(&url, clock.clone()).await.unwrap();
        Self {
            server,
            store,
            state: State::default(),
            policy: policy(),
            clock,
            folder,
        }
    }

    fn url(&self) -> StoreUrl {
        let path = || StoreUrl::Sqlite(self.path());
        self.server.clone().unwrap_or_else(path)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state.db")
    }

    fn inbox_path(&self) -> PathBuf {
        self.folder.path().join("state.inbox.db")
    }

    /// Stops without a word and starts again from what is on the disk.
    async fn restart(&mut self) {
        self.store = Store::connect(&self.url(), self.clock.clone())
            .await
            .unwrap();
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
    async fn sql(&self, sql: impl Into<String>) {
        let sql = sql.into();
        let run = move |session: &mut Session<Jobs>| session.conn.execute_batch(&sql);
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
            let pages: i64 = conn.query_row("PRAGMA page_count", &[], |row| row.get(0))?;
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

    /// Lets a table take no rows until [`Self::allow`].
    async fn refuse(&self, table: &str) {
        let trigger = if self.server.is_some() {
            format!(
                "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION 'refused'; END $$; \
                 CREATE TRIGGER refuse BEFORE INSERT ON {table} EXECUTE FUNCTION refuse()"
            )
        } else {
            format!(
                "CREATE TRIGGER refuse BEFORE INSERT ON {table} BEGIN SELECT raise(ABORT, 'refused'); END"
            )
        };
        self.sql(trigger).await;
    }

    async fn allow(&self, table: &str) {
        let sql = if self.server.is_some() {
            format!("DROP TRIGGER refuse ON {table}")
        } else {
            "DROP TRIGGER refuse".to_owned()
        };
        self.sql(sql).await;
    }

    /// Looks into the main database past the store.
    async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> sql::Result<T> + Send + 'static,
    ) -> T {
        self.store.pages.read(work).await.unwrap()
    }

    /// Looks into the inbox past the store.
    async fn look_into_inbox<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> sql::Result<T> + Send + 'static,
    ) -> T {
        self.store.inbox.file.read(work).await.unwrap()
    }

    /// Numbers that stand in the inbox.
    async fn stored(&self) -> Vec<i64> {
        self.look_into_inbox(|conn| {
            conn.prepare_cached("SELECT seq FROM inbox ORDER BY seq")?
                .query_map(&[], |row| row.get(0))?
                .collect()
        })
        .await
    }

    /// What waits: names of runs, in order.
    async fn waiting(&self) -> Vec<String> {
        let claim = self.store.claim(10_000, self.clock.now()).await.unwrap();
        let names = claim.rows.into_iter().map(|row| row.observation.run.0);
        names.collect()
    }

    /// What stands in the main database, table by table, for comparing before and after.
    async fn dump(&self) -> Vec<String> {
        self.look(|conn| {
            let mut lines = Vec::new();
            for (table, columns) in [
                ("counters", "name, value"),
                ("parked", "seq, due_at, attempts, body"),
                ("poison", "seq, received_at, error, body"),
                ("runs", "id, name, job_id, state, verdict, incident, facts"),
                ("decisions", "id, run_id, run, decision, reason, receivers"),
                ("incidents", "id, job_id, cause, open, window_ends, body"),
                ("causes", "key, body"),
                ("folds", "cause, receiver, body"),
                ("notifications", "id, shown_id, receiver, body"),
                (
                    "outbox",
                    "id, notification_id, receiver, state, attempts, due_at",
                ),
            ] {
                let fields: Vec<String> = columns
                    .split(", ")
                    .map(|column| format!("coalesce(cast({column} AS text), '-')"))
                    .collect();
                let fields = fields.join(" || ' ' || ");
                let sql = format!("SELECT '{table}: ' || {fields} FROM {table} ORDER BY 1");
                let rows = conn
                    .prepare_cached(&sql)?
                    .query_map(&[], |row| row.get(0))?
                    .collect::<sql::Result<Vec<String>>>()?;
                lines.extend(rows);
            }
            Ok(lines)
        })
        .await
    }
}

fn names(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes
        .iter()
        .map(|outcome| outcome.decision.as_str())
        .collect()
}
