//! What of other stages belongs to an incident: what knocked it over, and what it holds up.

use super::text::{date, inline};
use crate::domain::{
    mass::is_mass,
    notification::{Event, Item},
};

/// Stages that are named; more of them are counted.
const NAMED: usize = 6;
/// Characters of a name.
const NAME: usize = 60;

/// Lines about the root and about what is blocked; none of a recovery, which has neither any more.
pub(super) fn notes(event: Event, item: &Item) -> Vec<String> {
    if event == Event::Recovered {
        return Vec::new();
    }
    let root = item.root.as_ref().map(|root| {
        if is_mass(root) {
            return format!("*Part of:* a {}, since {}", root.stage, date(root.since));
        }
        format!(
            "*Knocked over by:* {} of {}, broken since {}",
            inline(&root.stage, NAME),
            inline(&root.owner, NAME),
            date(root.since)
        )
    });
    root.into_iter().chain(blocks(item)).collect()
}

fn blocks(item: &Item) -> Option<String> {
    if item.blocks.is_empty() {
        return None;
    }
    let names: Vec<String> = item
        .blocks
        .iter()
        .take(NAMED)
        .map(|stage| inline(stage, NAME))
        .collect();
    let more = item.blocks.len().saturating_sub(NAMED);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(format!("*Blocks:* {}{more}", names.join(", ")))
}
