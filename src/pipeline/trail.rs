//! The trail of a run or a notification as text: what came in, what was decided, who was told.

use std::fmt::{self, Write as _};

use crate::{
    domain::{
        doom::Stop,
        evidence::{Evidence, Finding},
        pipeline::{Said, Sign},
    },
    store::{DeliveryTrail, EvidenceTrail, NotificationTrail, Trail},
};

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
    if let Some(evidence) = &trail.evidence {
        write_evidence(evidence, out)?;
    }
    section(out, "decisions", trail.decisions.len())?;
    for row in &trail.decisions {
        let rule = row.rule.as_deref();
        let rule = rule.map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
        let (source, run) = (row.source.as_str(), &row.run);
        writeln!(
            out,
            "  {}  {} from {source}: {}\n    {rule}, run {run}",
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
        let runs_are = if runs == 1 { "run" } else { "runs" };
        writeln!(
            out,
            "  {id} since {since}, {runs} bad {runs_are}, {end}: {}",
            incident.latest.what
        )?;
    }
    section(out, "waits for a person", trail.waits.len())?;
    for wait in &trail.waits {
        writeln!(out, "  {} since {}", wait.stage, wait.since)?;
    }
    section(out, "stops", trail.stops.len())?;
    trail
        .stops
        .iter()
        .try_for_each(|stop| write_stop(stop, out))?;
    section(out, "notifications", trail.notifications.len())?;
    trail
        .notifications
        .iter()
        .try_for_each(|told| write_notification(told, out))
}

fn write_stop(stop: &Stop, out: &mut String) -> fmt::Result {
    let (at, broken, because, incident) = (stop.at, &stop.broken, &stop.because, stop.incident);
    let (stage, run) = (&stop.doomed.stage, &stop.doomed.run);
    writeln!(
        out,
        "  {at}  {} to stop {stage} (run {run}): {broken} failed (run {because}, incident {incident})",
        if stop.doomed.ordered {
            "ordered"
        } else {
            "suggested"
        }
    )?;
    if let Some(end) = &stop.end {
        let (at, how) = (end.at, end.how.as_str());
        return writeln!(
            out,
            "    {}",
            format!("{at}  {how}: {}", end.detail).trim_end_matches(": ")
        );
    }
    match &stop.doomed.command {
        Some(command) => writeln!(out, "    {command}"),
        None => writeln!(out, "    no command: this is no name that Kubernetes gives"),
    }
}

/// Why it broke, with where and how often that was read.
fn write_evidence(known: &EvidenceTrail, out: &mut String) -> fmt::Result {
    writeln!(out, "reason")?;
    match &known.finding {
        Finding::Found(evidence) => write_found(evidence, out)?,
        Finding::Green(said) => write_said(said, out)?,
        Finding::Nothing(why) => writeln!(out, "  none: {why}")?,
        Finding::Unreadable(why) => writeln!(out, "  could not be read: {why}")?,
    }
    let place = known.location.as_ref();
    let place = place.map_or_else(String::new, |place| format!(" in {place}"));
    let attempts = match known.attempts {
        0 | 1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    };
    let again = known.again_at.map_or_else(
        || "not tried again".to_owned(),
        |at| format!("the next at {at}"),
    );
    writeln!(out, "  read {}{place}: {attempts}, {again}", known.at)
}

fn write_found(evidence: &Evidence, out: &mut String) -> fmt::Result {
    writeln!(out, "  {}: {}", evidence.class.words(), evidence.headline)?;
    let rule = evidence.rule.as_deref();
    let rule = rule.map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
    let signature = evidence.signature.as_ref();
    let signature = signature.map_or_else(|| "no signature".to_owned(), ToString::to_string);
    writeln!(out, "  class {}, {rule}, {signature}", evidence.class)?;
    let Some(excerpt) = &evidence.excerpt else {
        return Ok(());
    };
    writeln!(out, "  {}", excerpt.file)?;
    for (index, line) in excerpt.lines.iter().enumerate() {
        let mark = if index == excerpt.deciding {
            '→'
        } else {
            ' '
        };
        let number = line.number.map(|number| number.to_string());
        let number = number.unwrap_or_default();
        writeln!(out, "  {mark} {number:>6}  {}", line.text)?;
    }
    Ok(())
}

/// What the log of a green run says of its work.
fn write_said(said: &Said, out: &mut String) -> fmt::Result {
    let words = match said.sign {
        Some(Sign::SoftFail) => "green, yet it did not do its work",
        Some(Sign::NoOp) => "green, and it had nothing to do",
        Some(Sign::Done) => "green, and it did its work",
        None => return writeln!(out, "  green, and its log says nothing of its work"),
    };
    let version = said.version.as_ref();
    let version = version.map_or_else(String::new, |version| format!(" (version {version})"));
    writeln!(out, "  {words}{version}: {}", said.line)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evidence::{CauseClass, Excerpt, LogLine, Origin, Signature};

    fn shown(finding: Finding, attempts: u32, again_at: Option<&str>) -> String {
        let known = EvidenceTrail {
            finding,
            location: Some("s3://logs/logs/publish/1".to_owned()),
            at: "2026-05-19T20:36:00Z".parse().unwrap(),
            attempts,
            again_at: again_at.map(|at| at.parse().unwrap()),
        };
        let mut text = String::new();
        write_evidence(&known, &mut text).unwrap();
        text
    }

    #[test]
    fn a_reason_shows_its_lines_and_where_they_stand() {
        let line = |number, text: &str| LogLine {
            number: Some(number),
            text: text.to_owned(),
        };
        let evidence = Evidence {
            class: CauseClass::Compile,
            headline: "a.go:1:2: undefined: x".to_owned(),
            signature: Some(Signature("v1:0123".to_owned())),
            origin: Origin::Log,
            rule: Some("go-compile".to_owned()),
            excerpt: Some(Excerpt {
                file: "build-log.txt".to_owned(),
                lines: vec![line(9, "go build"), line(10, "a.go:1:2: undefined: x")],
                deciding: 1,
            }),
        };
        insta::assert_snapshot!(shown(Finding::Found(evidence), 2, None), @r"
        reason
          compile error: a.go:1:2: undefined: x
          class compile, rule go-compile, v1:0123
          build-log.txt
                 9  go build
          →     10  a.go:1:2: undefined: x
          read 2026-05-19T20:36:00Z in s3://logs/logs/publish/1: 2 attempts, not tried again
        ");
    }

    #[test]
    fn what_could_not_be_read_says_why_and_when_again() {
        let unreadable = Finding::Unreadable("s3://logs cannot be read: 403".to_owned());
        insta::assert_snapshot!(shown(unreadable, 1, Some("2026-05-19T20:37:00Z")), @r"
        reason
          could not be read: s3://logs cannot be read: 403
          read 2026-05-19T20:36:00Z in s3://logs/logs/publish/1: 1 attempt, the next at 2026-05-19T20:37:00Z
        ");
    }

    #[test]
    fn a_green_run_shows_what_its_log_said() {
        let said = Said {
            sign: Some(Sign::SoftFail),
            line: "[ERROR] v9.0.0 is no next version".to_owned(),
            version: Some("9.0.0".to_owned()),
        };
        let text = shown(Finding::Green(said), 1, None);
        assert!(
            text.contains("yet it did not do its work (version 9.0.0): [ERROR] v9.0.0"),
            "{text}"
        );
    }
}
