//! Which runs cannot succeed any more, and the commands that stop them where we do not.

use std::collections::BTreeSet;

use super::{
    blocks::Room,
    text::{code_block, inline, units},
    words::names,
};
use crate::domain::{
    doom::Doomed,
    notification::{Event, Item},
};

/// Stages that are named; more of them are counted.
const NAMED: usize = 6;

/// A line that says which runs are doomed, and their commands; nothing where there are none.
pub(super) fn notes(event: Event, items: &[Item], room: &Room) -> Vec<String> {
    if matches!(event, Event::Recovered | Event::Digest) {
        return Vec::new();
    }
    let open = || items.iter().filter(|item| item.recovered.is_none());
    // Of several incidents behind which a run waits, each knows it.
    let mut known = BTreeSet::new();
    let doomed: Vec<&Doomed> = open()
        .flat_map(|item| &item.doom.doomed)
        .filter(|doomed| known.insert(&doomed.run))
        .collect();
    let withheld: usize = open().map(|item| item.doom.withheld).sum();
    let mut notes = Vec::new();
    let (ordered, doomed): (Vec<&Doomed>, _) = doomed.into_iter().partition(|one| one.ordered);
    if !ordered.is_empty() {
        let (subject, them) = subject(&ordered);
        notes.push(format!(
            "*Doomed:* {subject} cannot succeed any more; prow-notifier stops {them}."
        ));
    }
    if !doomed.is_empty() {
        let (commands, left_out) = commands(&doomed, room);
        notes.push(sentence(&doomed, !commands.is_empty()));
        if !commands.is_empty() {
            notes.push(code_block(&commands.join("\n"), usize::MAX));
        }
        if left_out > 0 {
            notes.push(format!("…and {left_out} more without a command here"));
        }
    }
    if withheld > 0 {
        let runs = if withheld == 1 { "run" } else { "runs" };
        notes.push(format!(
            "{withheld} doomed {runs} not named and not stopped: the hourly limit is reached"
        ));
    }
    notes
}

/// Which runs, and the pronoun for them.
fn subject(doomed: &[&Doomed]) -> (String, &'static str) {
    let stages: BTreeSet<&str> = doomed.iter().map(|doomed| doomed.stage.as_str()).collect();
    let stages = names(stages.into_iter(), NAMED);
    match doomed {
        [only] => (
            format!("the run {} of {stages}", inline(&only.run.0, 80)),
            "it",
        ),
        _ => (format!("{} runs of {stages}", doomed.len()), "them"),
    }
}

fn sentence(doomed: &[&Doomed], has_commands: bool) -> String {
    let (subject, them) = subject(doomed);
    let command = if has_commands {
        format!(" To stop {them}:")
    } else {
        String::new()
    };
    format!("*Doomed:* {subject} cannot succeed any more.{command}")
}

/// Commands that fit, each whole: half a command does something else. And how many there are besides.
fn commands<'a>(doomed: &[&'a Doomed], room: &Room) -> (Vec<&'a str>, usize) {
    let mut used = 0;
    let mut fitting = Vec::new();
    for command in doomed.iter().filter_map(|doomed| doomed.command.as_deref()) {
        used += units(command) + 1;
        if used > room.excerpt {
            break;
        }
        fitting.push(command);
    }
    let left_out = doomed.len() - fitting.len();
    (fitting, left_out)
}
