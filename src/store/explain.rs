//! The way of one run or one notification through the system.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    DecisionRow, Store, StoreError,
    commit::run_id,
    evidence::{self, EvidenceTrail},
    rows::{json, json_or_none, millis, run, run_query, time, word},
    slice::{build_id, by_alias, incident},
    stops,
};
use crate::domain::{
    doom::Stop,
    incident::{Incident, IncidentId, Run},
    job::JobKey,
    notification::{Diverted, Notification},
    observation::RunName,
    release::{Release, ReleaseKey},
};
use crate::store::sql::{self, Connection, OptionalExtension as _, Row, params};

/// What was made of a run, and what was said of it to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trail {
    /// The run; `None` when it is not kept, or when a notification was asked for.
    #[schema(value_type = Option<Object>)]
    pub run: Option<Run>,
    /// The decisions on it, or on the runs that the notification shows, in order.
    #[schema(value_type = Vec<Object>)]
    pub decisions: Vec<DecisionRow>,
    /// The incident that it opened, prolonged or closed, or all that the notification speaks of.
    #[schema(value_type = Vec<Object>)]
    pub incidents: Vec<Incident>,
    /// Why the run broke, or the only run that the notification shows, as far as that was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub evidence: Option<EvidenceTrail>,
    /// Stages of the run's release that a person is to start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub waits: Vec<Wait>,
    /// What was suggested to be stopped because of the run, or that it was itself, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub stops: Vec<Stop>,
    /// What was said of these, in order.
    pub notifications: Vec<NotificationTrail>,
}

/// A stage that a person is to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// The stage.
    pub stage: String,
    /// Since when.
    pub since: Timestamp,
}

/// A notification and where it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotificationTrail {
    /// What was said.
    #[schema(value_type = Object)]
    pub notification: Notification,
    /// To whom; diverted copies have deliveries of their own.
    pub deliveries: Vec<DeliveryTrail>,
}

/// A delivery and its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryTrail {
    /// Its number.
    pub id: i64,
    /// Concrete receiver.
    pub receiver: String,
    /// `pending`, `sent`, `dead`, or `diverted` when another receiver got a copy instead.
    pub state: String,
    /// When it is or was to be sent.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Timestamp,
    /// Why it goes to this receiver instead of its own.
    #[schema(value_type = Option<Object>)]
    pub diverted: Option<Diverted>,
    /// In order.
    pub attempts: Vec<Attempt>,
}

/// One attempt to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// One word.
    pub outcome: String,
    /// The answer in words.
    pub detail: String,
}

impl Store {
    /// The trail of a run, by its name, its alias, or a build id that only one run has; or of a
    /// notification by the eight hex digits it shows. `None` when there is no such thing.
    pub async fn explain(&self, asked: &RunName) -> Result<Option<Trail>, StoreError> {
        let asked = asked.clone();
        self.pages
            .read(move |conn| {
                let trail = match find_run(conn, &asked)? {
                    Some(run) => Some(of_run(conn, Some(run), &asked)?),
                    None => of_notification(conn, &asked.0)?,
                };
                match trail {
                    Some(trail) => Ok(Some(trail)),
                    None => Ok(Some(of_run(conn, None, &asked)?).filter(|trail| {
                        !trail.decisions.is_empty() || !trail.incidents.is_empty()
                    })),
                }
            })
            .await
    }
}

fn find_run(conn: &Connection, asked: &RunName) -> sql::Result<Option<Run>> {
    let named = conn
        .prepare_cached(run_query!("WHERE runs.name = $1"))?
        .query_row(params![&asked.0], run)
        .optional()?;
    if named.is_some() {
        return Ok(named);
    }
    if asked.0 != build_id(&asked.0) {
        return Ok(by_alias(conn, &asked.0)?.pop());
    }
    let mut built = conn
        .prepare_cached(run_query!("WHERE runs.build_id = $1 LIMIT 2"))?
        .query_map(params![&asked.0], run)?
        .collect::<sql::Result<Vec<Run>>>()?;
    let only = built.pop();
    Ok(only.filter(|_| built.is_empty()))
}

fn of_run(conn: &Connection, run: Option<Run>, asked: &RunName) -> sql::Result<Trail> {
    let name = &run.as_ref().map_or(asked, |run| &run.name).clone();
    let run_release = run.as_ref().and_then(|run| run.release.clone());
    let decisions = decisions(conn, name)?;
    let mut touched: BTreeSet<IncidentId> = run
        .iter()
        .filter_map(|run| run.incident)
        .chain(decisions.iter().filter_map(|decision| decision.incident))
        .collect();
    if run.is_none() && decisions.is_empty() {
        touched.extend(without_run(conn, name)?);
    }
    let mut incidents = Vec::new();
    let mut said = BTreeSet::new();
    for id in touched {
        incidents.extend(incident(conn, id)?);
        let about = conn
            .prepare_cached(
                "SELECT notification_id FROM notification_incidents WHERE incident_id = $1",
            )?
            .query_map(params![id.0], |row| row.get(0))?
            .collect::<sql::Result<Vec<i64>>>()?;
        said.extend(about);
    }
    let notifications = said
        .into_iter()
        .filter_map(|id| notification(conn, id).transpose())
        .collect::<sql::Result<_>>()?;
    Ok(Trail {
        run,
        decisions,
        incidents,
        evidence: evidence::known(conn, name)?,
        waits: waits(conn, run_release.as_ref())?,
        stops: stops::about(conn, name)?,
        notifications,
    })
}

/// The latest incident about something that did not happen: it has no run, and its own key takes the run's place, mostly
/// with the time at which it began behind it.
fn without_run(conn: &Connection, asked: &RunName) -> sql::Result<Option<IncidentId>> {
    if let Some((key, at)) = asked.0.rsplit_once('|')
        && let Ok(at) = at.parse::<Timestamp>()
    {
        return conn
            .prepare_cached(
                "SELECT incidents.id FROM jobs JOIN incidents ON incidents.job_id = jobs.id \
                 WHERE jobs.key = $1 AND first_at <= $2 ORDER BY first_at DESC LIMIT 1",
            )?
            .query_row(params![key, millis(at)], |row| row.get(0).map(IncidentId))
            .optional();
    }
    conn.prepare_cached(
        "SELECT incidents.id FROM jobs JOIN incidents ON incidents.job_id = jobs.id WHERE jobs.key = $1 \
         ORDER BY first_at DESC LIMIT 1",
    )?
    .query_row(params![&asked.0], |row| row.get(0).map(IncidentId))
    .optional()
}

fn waits(conn: &Connection, release: Option<&ReleaseKey>) -> sql::Result<Vec<Wait>> {
    let Some(key) = release else {
        return Ok(Vec::new());
    };
    let release: Option<Release> = conn
        .prepare_cached("SELECT body FROM releases WHERE key = $1")?
        .query_row(params![&key.0], |row| json(row, 0))
        .optional()?;
    let waiting = release.into_iter().flat_map(|release| release.waiting);
    Ok(waiting
        .map(|(stage, since)| Wait { stage, since })
        .collect())
}

fn of_notification(conn: &Connection, shown_id: &str) -> sql::Result<Option<Trail>> {
    let found = conn
        .prepare_cached(
            "SELECT id FROM notifications WHERE shown_id = $1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(params![shown_id], |row| row.get(0))
        .optional()?;
    let Some(id) = found else {
        return Ok(None);
    };
    let Some(said) = notification(conn, id)? else {
        return Ok(None);
    };
    let (mut made, mut stops) = (Vec::new(), Vec::new());
    for item in &said.notification.items {
        made.extend(decisions(conn, &item.run)?);
        stops.extend(stops::about(conn, &item.run)?);
    }
    let evidence = match said.notification.items.as_slice() {
        [only] => evidence::known(conn, &only.run)?,
        _ => None,
    };
    let about = conn
        .prepare_cached(
            "SELECT incident_id FROM notification_incidents WHERE notification_id = $1 ORDER BY incident_id",
        )?
        .query_map(params![id], |row| row.get(0).map(IncidentId))?
        .collect::<sql::Result<Vec<_>>>()?;
    let incidents = about
        .into_iter()
        .filter_map(|id| incident(conn, id).transpose())
        .collect::<sql::Result<_>>()?;
    Ok(Some(Trail {
        run: None,
        decisions: made,
        incidents,
        evidence,
        waits: Vec::new(),
        stops,
        notifications: vec![said],
    }))
}

/// Decisions on a run, those before it was kept included.
fn decisions(conn: &Connection, name: &RunName) -> sql::Result<Vec<DecisionRow>> {
    let id = run_id(conn, name)?.unwrap_or(-1);
    conn.prepare_cached(
        "SELECT source, seen_at, decided_at, jobs.key, verdict, decision, rule, reason, class, receivers, incident \
         FROM decisions JOIN jobs ON jobs.id = decisions.job_id WHERE run_id = $1 OR run = $2 ORDER BY decisions.id",
    )?
    .query_map(params![id, name.0], |row| decision(name, row))?
    .collect()
}

pub(super) fn decision(name: &RunName, row: &Row<'_>) -> sql::Result<DecisionRow> {
    Ok(DecisionRow {
        run: name.clone(),
        source: word(row, 0)?,
        seen_at: time(row, 1)?,
        decided_at: time(row, 2)?,
        job_key: JobKey(row.get(3)?),
        verdict: word(row, 4)?,
        decision: word(row, 5)?,
        rule: row.get(6)?,
        reason: row.get(7)?,
        class: json(row, 8)?,
        receivers: json(row, 9)?,
        incident: row.get::<Option<u64>>(10)?.map(IncidentId),
    })
}

fn notification(conn: &Connection, id: i64) -> sql::Result<Option<NotificationTrail>> {
    let said = conn
        .prepare_cached("SELECT body FROM notifications WHERE id = $1")?
        .query_row(params![id], |row| json(row, 0))
        .optional()?;
    let Some(notification) = said else {
        return Ok(None);
    };
    let mut deliveries = conn
        .prepare_cached(
            "SELECT id, receiver, state, due_at, diverted FROM outbox WHERE notification_id = $1 ORDER BY id",
        )?
        .query_map(params![id], |row| {
            Ok(DeliveryTrail {
                id: row.get(0)?,
                receiver: row.get(1)?,
                state: row.get(2)?,
                due_at: time(row, 3)?,
                diverted: json_or_none(row, 4)?,
                attempts: Vec::new(),
            })
        })?
        .collect::<sql::Result<Vec<_>>>()?;
    for delivery in &mut deliveries {
        delivery.attempts = attempts(conn, delivery.id)?;
    }
    Ok(Some(NotificationTrail {
        notification,
        deliveries,
    }))
}

pub(super) fn attempts(conn: &Connection, delivery: i64) -> sql::Result<Vec<Attempt>> {
    conn.prepare_cached(
        "SELECT at, outcome, detail FROM attempts WHERE delivery_id = $1 ORDER BY id",
    )?
    .query_map(params![delivery], |row| {
        Ok(Attempt {
            at: time(row, 0)?,
            outcome: row.get(1)?,
            detail: row.get(2)?,
        })
    })?
    .collect()
}
