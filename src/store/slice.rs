//! Loads what a batch of observations needs of the domain's state, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::sql::{self, Connection, OptionalExtension as _, params};
use jiff::{SignedDuration, Timestamp};

use super::{
    Store, StoreError,
    batch::{self, Known, Neighbours},
    jobs::Jobs,
    rows::{json, millis, run, run_query, time, time_or_none},
    stops,
    threads::Session,
};
use crate::domain::{
    fold::CauseKey,
    gaps::EdgeKey,
    history::History,
    hush::HushKey,
    incident::{Incident, IncidentId, Run, alias},
    job::JobKey,
    observation::{Observation, RunName},
    prowjob::State as ProwState,
    release::{Release, ReleaseKey},
    state::State,
    watch::WatchKey,
};

/// Names asked for in one go, so that a long list does not keep others from reading.
const NAMES_AT_ONCE: usize = 1000;

/// Runs that ended so long ago are loaded to tell what jobs have in common; no longer window is of use.
const RECENT: SignedDuration = SignedDuration::from_hours(6);

/// What of an observation decides which rows it needs.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// The run.
    pub run: RunName,
    /// How a GitHub status names it.
    pub alias: Option<String>,
    /// Whether only a GitHub status tells of it.
    pub inferred: bool,
    /// Its job.
    pub job: JobKey,
    /// When it ended; `None` while it runs.
    pub completed_at: Option<Timestamp>,
    /// Whether it may be good, and so part an incident in two.
    pub may_part: bool,
    /// Whether its job's last runs may be asked for: it is bad, or it still runs.
    pub needs_history: bool,
}

impl Sighting {
    /// Of an observation.
    pub fn of(observation: &Observation) -> Self {
        Self {
            run: observation.run.clone(),
            alias: alias(observation),
            inferred: observation.inferred,
            job: JobKey::of(observation),
            completed_at: observation
                .completed_at
                .filter(|_| observation.is_finished()),
            may_part: observation.state == ProwState::Success,
            needs_history: observation.state != ProwState::Success,
        }
    }
}

/// What a batch needs of the state.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of these their runs by name and alias, their neighbours in the jobs' timelines, and the incidents of
    /// all these.
    pub sightings: Vec<Sighting>,
    /// These runs and their incidents.
    pub runs: Vec<RunName>,
    /// These incidents.
    pub incidents: Vec<IncidentId>,
    /// These releases, and the incidents about their late stages.
    pub releases: Vec<ReleaseKey>,
}

/// How a run was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRun {
    /// Prow's state.
    pub state: String,
    /// Whether it is over, and not only by the word of a command inside its job.
    pub finished: bool,
}

/// Rows on their way into a state.
#[derive(Default)]
struct Slice {
    runs: BTreeMap<RunName, Run>,
    /// Apart and in order of arrival: of several runs under one alias the last counts.
    twins: Vec<Run>,
    incidents: Vec<Incident>,
    releases: Vec<(ReleaseKey, Release)>,
    histories: BTreeMap<JobKey, History>,
}

impl Store {
    /// The part of the state that is always complete: causes, folds, digests and the next number.
    pub async fn load_hot(&self) -> Result<State, StoreError> {
        let now = self.clock.now();
        self.main.read(move |conn| hot(conn, now)).await
    }

    /// Completes `state` for what is `wanted`, and with the incidents whose window ends by `now`. What the
    /// state holds already stays as it is there. After an error the state is as before.
    pub async fn load_slice(
        &self,
        state: &mut State,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let epoch = self.leads().unwrap_or_default();
        // Through the writer, whose cache stays warm: the other connection's is void after each commit.
        let slice = self
            .main
            .order(move |session| {
                session.look(|session| {
                    session.memory.belong_to(epoch);
                    load(session, &wanted, now)
                })
            })
            .await?;
        for run in slice.runs.into_values().chain(slice.twins) {
            if !state.runs.contains_key(&run.name) {
                state.load_run(run);
            }
        }
        for (key, release) in slice.releases {
            state.releases.entry(key).or_insert(release);
        }
        for (job, history) in slice.histories {
            state.load_history(job, history);
        }
        for incident in slice.incidents {
            if !state.incidents.contains_key(&incident.id) {
                state.load_incident(incident);
            }
        }
        Ok(())
    }

    /// When the next dedup window ends; `None` when none is running.
    pub async fn next_window(&self) -> Result<Option<Timestamp>, StoreError> {
        self.main
            .read(|conn| {
                conn.prepare_cached(
                    "SELECT min(window_ends) FROM incidents WHERE window_ends IS NOT NULL",
                )?
                .query_row(&[], |row| time_or_none(row, 0))
            })
            .await
    }

    /// Of the named runs those that are stored, and how they were last seen.
    pub async fn known(
        &self,
        names: Vec<RunName>,
    ) -> Result<BTreeMap<RunName, KnownRun>, StoreError> {
        let mut found = BTreeMap::new();
        let mut names = names.into_iter().peekable();
        while names.peek().is_some() {
            let some: Vec<RunName> = names.by_ref().take(NAMES_AT_ONCE).collect();
            found.extend(self.main.read(move |conn| known(conn, some)).await?);
        }
        Ok(found)
    }

    /// The run that an alias stands for; of several the one stored last.
    pub async fn find_by_alias(&self, alias: String) -> Result<Option<RunName>, StoreError> {
        self.main
            .read(move |conn| Ok(by_alias(conn, &alias)?.pop().map(|run| run.name)))
            .await
    }
}

fn hot(conn: &Connection, now: Timestamp) -> sql::Result<State> {
    let mut state = State::default();
    let mut causes = conn.prepare_cached("SELECT key, body FROM causes")?;
    for row in causes.query_map(&[], |row| Ok((CauseKey(row.get(0)?), json(row, 1)?)))? {
        let (key, cause) = row?;
        state.causes.insert(key, cause);
    }
    let mut folds = conn.prepare_cached("SELECT cause, receiver, body FROM folds")?;
    for row in folds.query_map(&[], |row| {
        Ok(((CauseKey(row.get(0)?), row.get(1)?), json(row, 2)?))
    })? {
        let (key, fold) = row?;
        state.load_fold(key, fold);
    }
    let mut digests = conn.prepare_cached("SELECT receiver, first_start, body FROM digests")?;
    for row in digests.query_map(&[], |row| Ok(((row.get(0)?, row.get(1)?), json(row, 2)?)))? {
        let (key, digest) = row?;
        state.digests.insert(key, digest);
    }
    let mut due =
        conn.prepare_cached("SELECT key, due_at FROM releases WHERE due_at IS NOT NULL")?;
    for row in due.query_map(&[], |row| Ok((ReleaseKey(row.get(0)?), time(row, 1)?)))? {
        let (key, due_at) = row?;
        state.due_releases.insert(key, due_at);
    }
    let mut healed = conn.prepare_cached("SELECT key, body FROM healed")?;
    for row in healed.query_map(&[], |row| Ok((row.get(0)?, json(row, 1)?)))? {
        let (key, good) = row?;
        state.healed.insert(key, good);
    }
    let mut troubles = conn.prepare_cached("SELECT key, body FROM troubles")?;
    for row in troubles.query_map(&[], |row| Ok((row.get(0)?, json(row, 1)?)))? {
        let (key, incident) = row?;
        state.troubles.insert(key, incident);
    }
    let mut watches = conn.prepare_cached("SELECT key, body FROM watches")?;
    for row in watches.query_map(&[], |row| Ok((WatchKey(row.get(0)?), json(row, 1)?)))? {
        let (key, watch) = row?;
        state.watches.insert(key, watch);
    }
    let mut hidden = conn.prepare_cached("SELECT key, receiver, body FROM hidden")?;
    for row in hidden.query_map(&[], |row| {
        Ok(((HushKey(row.get(0)?), row.get(1)?), json(row, 2)?))
    })? {
        let (key, spared) = row?;
        state.hidden.insert(key, spared);
    }
    let mut gaps = conn.prepare_cached("SELECT key, body FROM gaps")?;
    for row in gaps.query_map(&[], |row| Ok((EdgeKey(row.get(0)?), json(row, 1)?)))? {
        let (key, gaps) = row?;
        state.gaps.insert(key, gaps);
    }
    let mut recent = conn.prepare_cached(run_query!(
        "WHERE runs.finished_at >= $1 ORDER BY runs.finished_at"
    ))?;
    let since = now.checked_sub(RECENT).unwrap_or(Timestamp::MIN);
    for ended in recent.query_map(params![millis(since)], run)? {
        state.recent.note(&ended?);
    }
    let stops = stops::recent(conn)?.into_iter();
    state.stops = stops.map(|stop| (stop.doomed.run.clone(), stop)).collect();
    state.next_incident = conn
        .prepare_cached("SELECT value FROM counters WHERE name = 'next-incident'")?
        .query_row(&[], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    Ok(state)
}

fn load(session: &mut Session<Jobs>, wanted: &Wanted, now: Timestamp) -> sql::Result<Slice> {
    let mut slice = Slice::default();
    let stored = Known::of(&session.conn, wanted)?;
    let neighbours = meet(session, &wanted.sightings)?;
    for name in &wanted.runs {
        if let Some(run) = stored.run(&session.conn, name)? {
            slice.keep(run);
        }
    }
    for sighting in &wanted.sightings {
        let known = stored.run(&session.conn, &sighting.run)?;
        let ended = known
            .as_ref()
            .is_some_and(|run| run.finished_at.is_some() && !run.provisional);
        if let Some(run) = known {
            slice.keep(run);
        }
        // Nothing changes the end of a run, so its neighbours and twins do not matter.
        if !ended {
            // A job that was never seen has no runs.
            if let Some(job) = session.known_job_id(&sighting.job.0)? {
                slice.load_neighbours(session, &neighbours, sighting, job)?;
            }
            slice.load_twins(&session.conn, &stored, sighting)?;
            if sighting.needs_history {
                slice.load_history(session, &sighting.job)?;
            }
        }
    }
    slice.releases = batch::releases(&session.conn, &wanted.releases)?;
    slice.load_incidents(session, &wanted.incidents, now)?;
    Ok(slice)
}

/// Asks a server for all at once that follows from the jobs of a batch.
fn meet(session: &mut Session<Jobs>, sightings: &[Sighting]) -> sql::Result<Neighbours> {
    if !session.conn.is_shared() {
        return Ok(Neighbours::of_file());
    }
    session.meet(sightings.iter().map(|sighting| &sighting.job))?;
    let failed = sightings.iter().filter(|sighting| sighting.needs_history);
    session.recall(failed.map(|sighting| &sighting.job))?;
    let mut ends = BTreeSet::new();
    for sighting in sightings {
        if let Some(at) = sighting.completed_at
            && let Some(job) = session.known_job_id(&sighting.job.0)?
            && session.memory.last_before(job, at).is_none()
        {
            ends.insert((job, millis(at)));
        }
    }
    Neighbours::of_server(&session.conn, &ends)
}

impl Slice {
    fn keep(&mut self, run: Run) {
        self.runs.insert(run.name.clone(), run);
    }

    /// The runs between which a finished run falls. If it may part an incident, all later runs of that one
    /// are needed too; they follow each other without a gap.
    fn load_neighbours(
        &mut self,
        session: &mut Session<Jobs>,
        neighbours: &Neighbours,
        sighting: &Sighting,
        job: i64,
    ) -> sql::Result<()> {
        let Some(at) = sighting.completed_at else {
            return Ok(());
        };
        // Nearly every run is its job's last.
        if let Some(last) = session.memory.last_before(job, at) {
            self.keep(last.clone());
            return Ok(());
        }
        let before = neighbours.before(&session.conn, job, at)?;
        let is_last =
            neighbours.is_last(job, at) || !self.load_later(&session.conn, sighting, job, at)?;
        if let Some(before) = before {
            if is_last {
                session.memory.set_last(job, &before);
            }
            self.keep(before);
        }
        Ok(())
    }

    /// Returns whether there are any.
    fn load_later(
        &mut self,
        conn: &Connection,
        sighting: &Sighting,
        job: i64,
        at: Timestamp,
    ) -> sql::Result<bool> {
        let mut statement = conn.prepare_cached(run_query!(
            "WHERE runs.job_id = $1 AND runs.counts = 1 AND runs.finished_at >= $2 \
             ORDER BY runs.finished_at, runs.name"
        ))?;
        let (mut follows, mut any) = (None, false);
        for next in statement.query_map(params![job, millis(at)], run)? {
            let next = next?;
            any = true;
            let incident = next.incident;
            let behind = (next.finished_at, &next.name) > (Some(at), &sighting.run);
            self.keep(next);
            let ends = !sighting.may_part
                || incident.is_none()
                || *follows.get_or_insert(incident) != incident;
            if behind && ends {
                break;
            }
        }
        Ok(any)
    }

    /// The runs that may be the same as this one: a GitHub status may be any's, a run only a status'.
    fn load_twins(
        &mut self,
        conn: &Connection,
        stored: &Known,
        sighting: &Sighting,
    ) -> sql::Result<()> {
        let Some(alias) = &sighting.alias else {
            return Ok(());
        };
        if sighting.inferred {
            self.twins.extend(by_alias(conn, alias)?);
            return Ok(());
        }
        self.twins.extend(stored.inferred(conn, alias)?);
        Ok(())
    }

    fn load_history(&mut self, session: &mut Session<Jobs>, job: &JobKey) -> sql::Result<()> {
        if !self.histories.contains_key(job)
            && let Some(id) = session.known_job_id(&job.0)?
        {
            let history = session.history(id)?.clone();
            self.histories.insert(job.clone(), history);
        }
        Ok(())
    }

    fn load_incidents(
        &mut self,
        session: &mut Session<Jobs>,
        given: &[IncidentId],
        now: Timestamp,
    ) -> sql::Result<()> {
        let named = self
            .runs
            .values()
            .chain(&self.twins)
            .filter_map(|run| run.incident);
        let late = self
            .releases
            .iter()
            .filter_map(|(_, release)| release.late.as_ref());
        let mut wanted: BTreeSet<IncidentId> = named
            .chain(given.iter().copied())
            .chain(late.map(|late| late.incident))
            .collect();
        let ending = session
            .conn
            .prepare_cached("SELECT id FROM incidents WHERE window_ends <= $1")?
            .query_map(params![millis(now)], |row| row.get(0).map(IncidentId))?
            .collect::<sql::Result<Vec<_>>>()?;
        wanted.extend(ending);
        self.incidents = batch::incidents(&session.conn, &wanted)?;
        let jobs: BTreeSet<JobKey> = self.incidents.iter().map(|it| it.job.clone()).collect();
        session.meet(jobs.iter())?;
        session.recall(jobs.iter())?;
        for job in &jobs {
            self.load_history(session, job)?;
        }
        Ok(())
    }
}

/// Reads a run.
pub(super) fn by_name(conn: &Connection, name: &RunName) -> sql::Result<Option<Run>> {
    conn.prepare_cached(run_query!("WHERE runs.name = $1"))?
        .query_row(params![&name.0], run)
        .optional()
}

/// The runs under an alias, the one stored last at the end.
pub(super) fn by_alias(conn: &Connection, alias: &str) -> sql::Result<Vec<Run>> {
    conn.prepare_cached(run_query!(
        "WHERE runs.build_id = $1 AND runs.alias = $2 ORDER BY runs.id"
    ))?
    .query_map(params![build_id(alias), alias], run)?
    .collect()
}

/// The last part of an alias.
pub(super) fn build_id(alias: &str) -> &str {
    alias.rsplit_once('|').map_or(alias, |(_, id)| id)
}

/// Reads an incident.
pub(super) fn incident(conn: &Connection, id: IncidentId) -> sql::Result<Option<Incident>> {
    conn.prepare_cached("SELECT body FROM incidents WHERE id = $1")?
        .query_row(params![id.0], |row| json(row, 0))
        .optional()
}

fn known(conn: &Connection, names: Vec<RunName>) -> sql::Result<Vec<(RunName, KnownRun)>> {
    let names: Vec<String> = names.into_iter().map(|name| name.0).collect();
    let select = "SELECT name, state, finished_at, provisional FROM runs WHERE name";
    batch::with_keys(conn, select, names, |row| {
        let finished = time_or_none(row, 2)?.is_some() && !row.get::<bool>(3)?;
        let state = row.get(1)?;
        Ok((RunName(row.get(0)?), KnownRun { state, finished }))
    })
}
