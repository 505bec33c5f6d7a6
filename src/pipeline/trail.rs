//! The trail of a run or a notification as text: what came in, what was decided, who was told.

use std::fmt::{self, Write as _};

use crate::store::{DeliveryTrail, NotificationTrail, Trail};

/// The whole trail, one fact a line.
pub fn text(trail: &Trail) -> String {
    let mut text = String::new();
    write(trail, &mut text).expect("writing to a string cannot fail");
    text
}

fn write(trail: &Trail, out: &mut String) -> fmt::Result {
    if let Some(run) = &trail.run {
        let ended = run
            .finished_at
            .map_or_else(|| "not finished".to_owned(), |at| format!("finished {at}"));
        writeln!(
            out,
            "run {}\n  {}  {} → {}, {ended}",
            run.name, run.job, run.state, run.verdict
        )?;
        if let Some(url) = &run.url {
            writeln!(out, "  {url}")?;
        }
    }
    section(out, "decisions", trail.decisions.len())?;
    for row in &trail.decisions {
        let rule = row.rule.as_deref().unwrap_or("no rule");
        let (source, run) = (row.source.as_str(), &row.run);
        writeln!(
            out,
            "  {}  {} from {source}: {}  ({rule}; run {run})",
            row.decided_at, row.decision, row.reason
        )?;
    }
    section(out, "incidents", trail.incidents.len())?;
    for incident in &trail.incidents {
        let end = incident.closed_by.as_ref().map_or_else(
            || "open".to_owned(),
            |good| format!("closed {} by {}", good.at, good.run),
        );
        let (id, since, runs) = (incident.id, incident.first.at, incident.failures);
        writeln!(
            out,
            "  {id} since {since}, {runs} bad runs, {end}: {}",
            incident.latest.what
        )?;
    }
    section(out, "notifications", trail.notifications.len())?;
    trail
        .notifications
        .iter()
        .try_for_each(|told| write_notification(told, out))
}

fn section(out: &mut String, title: &str, count: usize) -> fmt::Result {
    if count > 0 {
        writeln!(out, "{title}")
    } else {
        Ok(())
    }
}

fn write_notification(told: &NotificationTrail, out: &mut String) -> fmt::Result {
    let notification = &told.notification;
    writeln!(
        out,
        "  {}  {} id:{}",
        notification.at,
        notification.event.as_str(),
        notification.id
    )?;
    told.deliveries
        .iter()
        .try_for_each(|delivery| write_delivery(delivery, out))
}

fn write_delivery(delivery: &DeliveryTrail, out: &mut String) -> fmt::Result {
    let diverted = delivery
        .diverted
        .as_ref()
        .map(|way| format!(", instead of {} ({})", way.from, way.reason))
        .unwrap_or_default();
    let due = if delivery.state == "pending" {
        format!(", due {}", delivery.due_at)
    } else {
        String::new()
    };
    writeln!(
        out,
        "    to {}: {}{due}{diverted}",
        delivery.receiver, delivery.state
    )?;
    for attempt in &delivery.attempts {
        let line = format!(
            "      {} {} {}",
            attempt.at, attempt.outcome, attempt.detail
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
