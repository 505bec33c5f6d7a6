//! What a replay came to, for people and for machines.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    compare::{Change, Difference},
    score::{Delays, Score},
    tally::{Heard, Tally},
};
use crate::cli::out;

/// Receivers, jobs and incidents that are listed in a text; the others are counted.
const LISTED: usize = 15;
/// Weeks that are shown one by one.
const WEEKS: usize = 8;

/// Everything that one configuration came to.
#[derive(Debug)]
pub(super) struct Report {
    /// Sums.
    pub(super) tally: Tally,
    /// Marks, where the truth is known.
    pub(super) score: Option<Score>,
    /// Lines that could not be read.
    pub(super) unreadable: u64,
}

#[derive(Serialize)]
struct Listed<'a> {
    receiver: &'a str,
    messages: u64,
    busiest_hour: Value,
    weeks: &'a BTreeMap<String, u64>,
}

impl Report {
    /// One object.
    pub(super) fn json(&self) -> Value {
        let tally = &self.tally;
        let receivers: Vec<Listed<'_>> = self
            .most_told()
            .into_iter()
            .map(|(receiver, heard)| Listed {
                receiver,
                messages: heard.messages,
                busiest_hour: json!(heard.busiest_hour()),
                weeks: &heard.weeks,
            })
            .collect();
        let unclassified: Vec<Value> = tally
            .unclassified
            .iter()
            .map(|(job, seen)| {
                json!({"repository": job.repository, "job": job.job, "runs": seen.runs, "bad": seen.bad})
            })
            .collect();
        json!({
            "runs": tally.runs,
            "unreadable": self.unreadable,
            "from": tally.span.map(|(from, _)| from),
            "to": tally.span.map(|(_, to)| to),
            "messages": tally.messages(),
            "decisions": tally.decisions,
            "receivers": receivers,
            "unclassified": unclassified,
            "score": self.score,
        })
    }

    /// Tables.
    pub(super) fn print(&self) {
        self.print_head();
        self.print_receivers();
        self.print_decisions();
        self.print_unclassified();
        if let Some(score) = &self.score {
            print_score(score);
        }
    }

    fn print_head(&self) {
        let tally = &self.tally;
        let span = tally.span.map_or_else(String::new, |(from, to)| {
            format!(" from {} to {}", day(&from), day(&to))
        });
        out::line(&format!(
            "{}{span}: {} to {}",
            out::styled(out::BOLD, &out::count(tally.runs, "run")),
            out::count(tally.messages(), "message"),
            out::count(tally.receivers.len() as u64, "receiver")
        ));
    }

    /// By number of messages, most first.
    fn most_told(&self) -> Vec<(&str, &Heard)> {
        let mut receivers: Vec<(&str, &Heard)> = self
            .tally
            .receivers
            .iter()
            .map(|(name, heard)| (name.as_str(), heard))
            .collect();
        receivers.sort_by_key(|(name, heard)| (std::cmp::Reverse(heard.messages), *name));
        receivers
    }

    fn print_receivers(&self) {
        let receivers = self.most_told();
        if receivers.is_empty() {
            return;
        }
        let weeks = self.last_weeks();
        let mut rows = vec![receivers_head(&weeks)];
        for (name, heard) in receivers.iter().take(LISTED) {
            rows.push(self.receiver_row(name, heard, &weeks));
        }
        table("Messages per receiver and week", &rows, true);
        let rest = receivers.get(LISTED..).unwrap_or_default();
        if !rest.is_empty() {
            let messages: u64 = rest.iter().map(|(_, heard)| heard.messages).sum();
            out::line(&format!("  and {} more, {messages} messages", rest.len()));
        }
    }

    /// The last weeks in which anybody was told anything, where there are few enough to show each.
    fn last_weeks(&self) -> Vec<&str> {
        let mut weeks: Vec<&str> = self
            .tally
            .receivers
            .values()
            .flat_map(|heard| heard.weeks.keys().map(String::as_str))
            .collect();
        weeks.sort_unstable();
        weeks.dedup();
        if weeks.len() > WEEKS {
            weeks.clear();
        }
        weeks
    }

    fn receiver_row(&self, name: &str, heard: &Heard, weeks: &[&str]) -> Vec<String> {
        let tenths = (heard.messages * 10).div_ceil(self.tally.weeks().unsigned_abs().max(1));
        let week = heard.busiest_week();
        let hour = heard.busiest_hour();
        let mut row = vec![
            name.to_owned(),
            heard.messages.to_string(),
            format!("{}.{}", tenths / 10, tenths % 10),
            week.map_or_else(String::new, |(week, count)| format!("{count} in {week}")),
            hour.map_or_else(String::new, |hour| {
                format!(
                    "{} at {}",
                    hour.messages,
                    hour.from.strftime("%Y-%m-%d %H:00")
                )
            }),
        ];
        let counts = weeks
            .iter()
            .map(|week| heard.weeks.get(*week).copied().unwrap_or_default());
        row.extend(counts.map(|count| count.to_string()));
        row
    }

    fn print_decisions(&self) {
        let rows: Vec<Vec<String>> = self
            .tally
            .decisions
            .iter()
            .map(|(decision, count)| vec![decision.to_string(), count.to_string()])
            .collect();
        table("What became of the runs", &rows, false);
    }

    fn print_unclassified(&self) {
        let unclassified = &self.tally.unclassified;
        if unclassified.is_empty() {
            return;
        }
        let mut jobs: Vec<_> = unclassified.iter().collect();
        jobs.sort_by_key(|(job, seen)| (std::cmp::Reverse((seen.bad, seen.runs)), *job));
        let mut rows = vec![["job", "runs", "bad"].map(str::to_owned).to_vec()];
        rows.extend(jobs.iter().take(LISTED).map(|(job, seen)| {
            let name = [job.repository.as_str(), &job.job].join(" ");
            vec![
                name.trim_start().to_owned(),
                seen.runs.to_string(),
                seen.bad.to_string(),
            ]
        }));
        table("Jobs that no rule knows", &rows, true);
        if jobs.len() > LISTED {
            out::line(&format!("  and {} more", jobs.len() - LISTED));
        }
    }
}

fn receivers_head(weeks: &[&str]) -> Vec<String> {
    let columns = [
        "receiver",
        "all",
        "a week",
        "most in a week",
        "most in an hour",
    ];
    let columns = columns.into_iter().chain(weeks.iter().copied());
    columns.map(str::to_owned).collect()
}

fn print_score(score: &Score) {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = vec![
        row(
            "detected",
            format!("{} of {}", score.detected, score.incidents),
        ),
        row("delay", delays(&score.mttd_s)),
        row("delay of stalled ones", delays(&score.mttd_stalled_s)),
        row(
            "own receiver not told",
            score.own_receiver_missing.to_string(),
        ),
        row("recovery not told", score.recovery_missing.to_string()),
        row(
            "messages",
            format!("{} to {} receivers", score.messages, score.receivers),
        ),
        row(
            "messages per owed",
            format!("{:.2}", score.messages_per_owed),
        ),
        row("busiest hour", score.busiest_hour.to_string()),
        row("false alarms", score.false_alarms.to_string()),
    ];
    table("Against what truly happened", &rows, false);
    let lists = [
        ("Undetected", &score.missed),
        ("Recovery not told", &score.unclosed),
    ];
    for (title, incidents) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        let rows: Vec<Vec<String>> = incidents
            .iter()
            .take(LISTED)
            .map(|incident| vec![incident.clone()])
            .collect();
        table(title, &rows, false);
        if incidents.len() > LISTED {
            out::line(&format!("  and {} more", incidents.len() - LISTED));
        }
    }
}

fn delays(delays: &Delays) -> String {
    let words = [
        ("median", delays.median),
        ("p95", delays.p95),
        ("at most", delays.max),
    ];
    let words: Vec<String> = words
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} {} s", value?)))
        .collect();
    if words.is_empty() {
        "nothing to measure".to_owned()
    } else {
        words.join(", ")
    }
}

/// What a second configuration would change, for people.
pub(super) fn print_differences(differences: &[Difference]) {
    for difference in differences {
        let message = &difference.message;
        let (sign, style) = match difference.change {
            Change::OnlyConfig => ("-", out::RED),
            Change::OnlyAgainst => ("+", out::GREEN),
            Change::Moved => ("~", out::YELLOW),
        };
        let moved = difference
            .moved_to
            .map_or_else(String::new, |to| format!(" moved to {to}"));
        out::line(&format!(
            "{} {}{moved}  {} {}: {}",
            out::styled(style, sign),
            message.at,
            message.event,
            out::printable(&message.receiver),
            out::printable(&message.text)
        ));
    }
    let count = |change| {
        differences
            .iter()
            .filter(|known| known.change == change)
            .count()
    };
    out::line(&format!(
        "messages: {} fewer, {} more, {} moved",
        count(Change::OnlyConfig),
        count(Change::OnlyAgainst),
        count(Change::Moved)
    ));
}

fn day(at: &jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Aligned columns under a title; the first row may be a head.
fn table(title: &str, rows: &[Vec<String>], head: bool) {
    out::line(&format!("\n{}", out::styled(out::BOLD, title)));
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for (number, row) in rows.iter().enumerate() {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:width$}", out::printable(cell)));
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        let styled = if head && number == 0 {
            out::styled(out::DIM, line)
        } else {
            line.to_owned()
        };
        out::line(&format!("  {styled}"));
    }
}
