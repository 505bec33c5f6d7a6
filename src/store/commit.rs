//! What a batch led to, stored in one transaction or not at all.

use std::collections::BTreeMap;

use crate::store::sql::{self, Connection, OptionalExtension as _, params};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    InboxRow, Poisoned, Store, StoreError,
    batch::{Numbers, run_ids},
    counts::bump,
    evidence::{self, Learned},
    jobs::Jobs,
    keyed::{self, put_body},
    lead::{Epoch, News, fence},
    mark::{self, Passed},
    outbox,
    rollup::Rollup,
    rows::{body, millis},
    runs::put_run,
    stops,
    threads::Session,
};
use crate::domain::{
    classify::Classification,
    decision::Decision,
    doom::Stop,
    flush::Told,
    fold::CauseKey,
    gaps::EdgeKey,
    hush::HiddenKey,
    incident::{Incident, IncidentId, Run},
    job::JobKey,
    observation::{Observation, RunName, Source},
    observe::Outcome,
    release::{Release, ReleaseKey},
    state::{DigestKey, FoldKey, State},
    verdict::Verdict,
    watch::WatchKey,
};

/// All that follows from a batch of observations or a tick.
#[derive(Debug, Default)]
pub struct Work {
    /// Numbers of the inbox rows that are decided.
    pub done: Vec<i64>,
    /// Those that are put off, and until when; that is counted.
    pub parked: Vec<(InboxRow, Timestamp)>,
    /// Those that cannot be read.
    pub poisoned: Vec<Poisoned>,
    /// What of the state changed.
    pub state: Changed,
    /// One per observation.
    pub decisions: Vec<DecisionRow>,
    /// What is to be sent.
    pub told: Vec<Told>,
    /// Bad runs whose reason is to be read.
    pub to_read: Vec<Observation>,
    /// Reasons that were read.
    pub learned: Vec<Learned>,
    /// When all this was worked out.
    pub at: Timestamp,
    /// The lease under which it was worked out.
    pub epoch: Epoch,
}

impl Work {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
            && self.parked.is_empty()
            && self.poisoned.is_empty()
            && self.decisions.is_empty()
            && self.told.is_empty()
            && self.to_read.is_empty()
            && self.learned.is_empty()
            && self.state.is_empty()
    }

    /// Takes what was touched out of the state. What is left of runs, incidents and releases is to be forgotten:
    /// [`State::forget_slices`].
    pub fn changes(state: &mut State) -> Changed {
        let changes = state.take_changes();
        let (runs, incidents) = (changes.runs.iter(), changes.incidents.iter());
        let releases = changes.releases.into_iter();
        Changed {
            releases: releases
                .filter_map(|key| state.releases.remove(&key).map(|release| (key, release)))
                .collect(),
            runs: runs.filter_map(|name| state.runs.remove(name)).collect(),
            incidents: incidents
                .filter_map(|id| state.incidents.remove(id))
                .collect(),
            causes: bodies(changes.causes, |key| state.causes.get(key).map(body)),
            folds: bodies(changes.folds, |key| state.folds.get(key).map(body)),
            digests: bodies(changes.digests, |key| state.digests.get(key).map(body)),
            healed: bodies(changes.healed, |key| state.healed.get(key).map(body)),
            troubles: bodies(changes.troubles, |key| state.troubles.get(key).map(body)),
            watches: bodies(changes.watches, |key| state.watches.get(key).map(body)),
            hidden: bodies(changes.hidden, |key| state.hidden.get(key).map(body)),
            gaps: bodies(changes.gaps, |key| state.gaps.get(key).map(body)),
            stops: stops::changed(state, &changes.stops),
            next_incident: state.next_incident,
        }
    }
}

fn bodies<K>(
    keys: impl IntoIterator<Item = K>,
    of: impl Fn(&K) -> Option<String>,
) -> Vec<(K, Option<String>)> {
    keys.into_iter()
        .map(|key| {
            let body = of(&key);
            (key, body)
        })
        .collect()
}

/// The touched part of a state, ready to be written. Built by [`Work::changes`].
#[derive(Debug, Default)]
pub struct Changed {
    runs: Vec<Run>,
    incidents: Vec<Incident>,
    releases: Vec<(ReleaseKey, Release)>,
    /// Bodies; `None` where the thing is gone.
    causes: Vec<(CauseKey, Option<String>)>,
    folds: Vec<(FoldKey, Option<String>)>,
    digests: Vec<(DigestKey, Option<String>)>,
    healed: Vec<(String, Option<String>)>,
    troubles: Vec<(String, Option<String>)>,
    watches: Vec<(WatchKey, Option<String>)>,
    gaps: Vec<(EdgeKey, Option<String>)>,
    hidden: Vec<(HiddenKey, Option<String>)>,
    stops: Vec<Stop>,
    next_incident: u64,
}

impl Changed {
    fn is_empty(&self) -> bool {
        self.runs.is_empty()
            && self.incidents.is_empty()
            && self.releases.is_empty()
            && self.causes.is_empty()
            && self.folds.is_empty()
            && self.digests.is_empty()
            && self.healed.is_empty()
            && self.troubles.is_empty()
            && self.watches.is_empty()
            && self.gaps.is_empty()
            && self.hidden.is_empty()
            && self.stops.is_empty()
    }
}

/// What became of one observation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionRow {
    /// The run.
    pub run: RunName,
    /// Who told us.
    pub source: Source,
    /// When we were told.
    pub seen_at: Timestamp,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// The run's job.
    pub job_key: JobKey,
    /// Our reading of the run.
    pub verdict: Verdict,
    /// The decision.
    pub decision: Decision,
    /// The rule that classified the run.
    pub rule: Option<String>,
    /// Why, in one clause.
    pub reason: String,
    /// What the rules made of the run.
    pub class: Classification,
    /// Who is told because of it.
    pub receivers: Vec<String>,
    /// The incident that it opened, prolonged or closed.
    pub incident: Option<IncidentId>,
}

impl DecisionRow {
    /// Of an observation and what the domain made of it.
    pub fn new(observation: &Observation, outcome: Outcome, decided_at: Timestamp) -> Self {
        Self {
            run: observation.run.clone(),
            source: observation.source,
            seen_at: observation.seen_at,
            decided_at,
            job_key: JobKey::of(observation),
            verdict: outcome.verdict,
            decision: outcome.decision,
            rule: outcome.class.rule.clone(),
            reason: outcome.reason,
            class: outcome.class,
            receivers: outcome.receivers,
            incident: outcome.incident,
        }
    }
}

impl Store {
    /// Stores the consequences of a claim and takes all its observations out of the inbox, all or nothing.
    pub async fn commit(&self, work: Work) -> Result<(), StoreError> {
        let Work {
            done,
            parked,
            poisoned,
            state,
            decisions,
            told,
            to_read,
            learned,
            at,
            epoch,
        } = work;
        let passed = Passed {
            done,
            parked,
            poisoned,
        };
        let mark = self
            .main
            .write_alone(move |session| {
                fence(&session.conn, epoch)?;
                session.memory.belong_to(epoch);
                meet_jobs(session, &decisions, &state)?;
                for row in &decisions {
                    session.classify_job(&row.job_key.0, &row.class)?;
                }
                let ids = put_state(session, &state)?;
                put_decisions(session, &decisions, &ids)?;
                outbox::enqueue(&session.conn, &told)?;
                evidence::order(&session.conn, &to_read, at)?;
                evidence::learn(&session.conn, &learned)?;
                if !told.is_empty() {
                    News::Outbox.tell(&session.conn)?;
                }
                News::Changed.tell(&session.conn)?;
                mark::pass(&session.conn, &passed)
            })
            .await?;
        self.inbox.sweep_some(mark);
        Ok(())
    }
}

/// Asks a server at once for what is about to be asked of the jobs of a batch.
fn meet_jobs(
    session: &mut Session<Jobs>,
    decisions: &[DecisionRow],
    state: &Changed,
) -> sql::Result<()> {
    if !session.conn.is_shared() {
        return Ok(());
    }
    let decided = decisions.iter().map(|row| &row.job_key);
    let seen = state.runs.iter().map(|run| &run.job);
    let broken = state.incidents.iter().map(|incident| &incident.job);
    session.welcome(decided.chain(seen).chain(broken))?;
    session.recall_doubtful(state.runs.iter())
}

/// Returns the numbers of the runs it wrote.
fn put_state<'a>(
    session: &mut Session<Jobs>,
    state: &'a Changed,
) -> sql::Result<BTreeMap<&'a str, i64>> {
    let mut ids = BTreeMap::new();
    let mut inserted = 0;
    let mut rollup = Rollup::default();
    let mut numbers = Numbers::of(&session.conn, &state.runs)?;
    for run in &state.runs {
        let job_id = session.job_id(&run.job.0)?;
        let put = put_run(&session.conn, run, job_id, numbers.as_mut())?;
        session.note_run(job_id, run)?;
        ids.insert(run.name.0.as_str(), put.id);
        inserted += usize::from(put.is_new);
        if let Some(owner) = session.owner_of(&run.job.0)? {
            rollup.note(&owner, put.before, run);
        }
    }
    rollup.write(&session.conn)?;
    count(&session.conn, "runs", inserted)?;
    for incident in &state.incidents {
        let job_id = session.job_id(&incident.job.0)?;
        put_incident(&session.conn, incident, job_id)?;
    }
    for (key, release) in &state.releases {
        put_release(&session.conn, key, release)?;
    }
    for stop in &state.stops {
        stops::put(&session.conn, stop)?;
    }
    put_owed(&session.conn, state)?;
    Ok(ids)
}

fn put_incident(conn: &Connection, incident: &Incident, job_id: i64) -> sql::Result<()> {
    conn.put("INSERT INTO incidents (id, job_id, cause, open, first_at, closed_at, window_ends, body, owner, stage, \
         kind, severity, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (id) DO UPDATE SET job_id = excluded.job_id, cause = excluded.cause, open = excluded.open, \
         first_at = excluded.first_at, closed_at = excluded.closed_at, window_ends = excluded.window_ends, \
         body = excluded.body, owner = excluded.owner, stage = excluded.stage, kind = excluded.kind, \
         severity = excluded.severity, seen_at = excluded.seen_at", params![
        incident.id.0,
        job_id,
        incident.cause.0,
        incident.is_open(),
        millis(incident.first.at),
        incident.closed_by.as_ref().map(|good| millis(good.at)),
        incident.window_ends.map(millis),
        body(incident),
        incident.owner(),
        incident.latest.class.stage,
        incident.kind.as_str(),
        incident.latest.class.severity.as_str(),
        incident.announced_at.map(millis),
    ])
}

fn put_release(conn: &Connection, key: &ReleaseKey, release: &Release) -> sql::Result<()> {
    let (run_s, retry_s) = release.spent_s();
    conn.put("INSERT INTO releases (key, service, version, began_at, due_at, body, done_at, reruns, stopped, soft_failed, \
         hand_made, run_s, retry_s) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
         ON CONFLICT (key) DO UPDATE SET began_at = excluded.began_at, due_at = excluded.due_at, \
         body = excluded.body, done_at = excluded.done_at, reruns = excluded.reruns, stopped = excluded.stopped, \
         soft_failed = excluded.soft_failed, hand_made = excluded.hand_made, run_s = excluded.run_s, \
         retry_s = excluded.retry_s", params![
        key.0,
        release.service,
        release.version,
        millis(release.began_at()),
        release.due_at().map(millis),
        body(release),
        release.done_at.map(millis),
        release.reruns(),
        release.count(Verdict::AbortedByHuman),
        release.count(Verdict::SoftFail),
        release.hand_made,
        run_s,
        retry_s,
    ])
}

/// Causes, folds, digests, watches, troubles and the next incident's number.
fn put_owed(conn: &Connection, state: &Changed) -> sql::Result<()> {
    for (key, body) in &state.causes {
        put_body(conn, &keyed::CAUSE, &[&key.0], body.as_ref())?;
    }
    for ((cause, receiver), body) in &state.folds {
        put_body(conn, &keyed::FOLD, &[&cause.0, receiver], body.as_ref())?;
    }
    for ((receiver, first_start), body) in &state.digests {
        put_body(
            conn,
            &keyed::DIGEST,
            &[receiver, first_start],
            body.as_ref(),
        )?;
    }
    for (key, body) in &state.healed {
        put_body(conn, &keyed::HEALED, &[key], body.as_ref())?;
    }
    for (key, body) in &state.troubles {
        put_body(conn, &keyed::TROUBLE, &[key], body.as_ref())?;
    }
    for (key, body) in &state.gaps {
        put_body(conn, &keyed::GAPS, &[&key.0], body.as_ref())?;
    }
    for ((key, receiver), body) in &state.hidden {
        put_body(conn, &keyed::HIDDEN, &[&key.0, receiver], body.as_ref())?;
    }
    for (key, body) in &state.watches {
        put_body(conn, &keyed::WATCH, &[&key.0], body.as_ref())?;
    }
    conn.put("INSERT INTO counters (name, value) VALUES ('next-incident', $1) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > counters.value", params![state.next_incident])
}

/// Decisions on runs that are not stored carry the run's name.
fn put_decisions(
    session: &mut Session<Jobs>,
    decisions: &[DecisionRow],
    ids: &BTreeMap<&str, i64>,
) -> sql::Result<()> {
    let strangers = decisions.iter().map(|row| &row.run);
    let strangers = strangers.filter(|run| !ids.contains_key(run.0.as_str()));
    let stored = run_ids(&session.conn, &strangers.collect())?;
    let mut words: BTreeMap<Decision, usize> = BTreeMap::new();
    for row in decisions {
        *words.entry(row.decision).or_default() += 1;
        let job_id = session.job_id(&row.job_key.0)?;
        let run = row.run.0.as_str();
        let run_id = ids.get(run).or_else(|| stored.get(run)).copied();
        session.conn.put("INSERT INTO decisions (run_id, run, job_id, source, seen_at, decided_at, verdict, decision, rule, \
                 reason, class, receivers, incident) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)", params![
                run_id,
                run_id.is_none().then_some(&row.run.0),
                job_id,
                row.source.as_str(),
                millis(row.seen_at),
                millis(row.decided_at),
                row.verdict.as_str(),
                row.decision.as_str(),
                row.rule,
                row.reason,
                body(&row.class),
                body(&row.receivers),
                row.incident.map(|id| id.0),
            ])?;
    }
    for (decision, times) in words {
        count(&session.conn, &format!("decision:{decision}"), times)?;
    }
    Ok(())
}

/// The number of a stored run.
pub(super) fn run_id(conn: &Connection, name: &RunName) -> sql::Result<Option<i64>> {
    conn.prepare_cached("SELECT id FROM runs WHERE name = $1")?
        .query_row(params![&name.0], |row| row.get(0))
        .optional()
}

fn count(conn: &Connection, name: &str, by: usize) -> sql::Result<()> {
    if by == 0 {
        return Ok(());
    }
    bump(conn, name, i64::try_from(by).unwrap_or(i64::MAX))
}
