//! The two columns of a message about one incident.

use super::{
    blocks::Room,
    text::{code, date},
    words::failed_runs,
};
use crate::domain::notification::Item;

/// Labels and values, in the order to show; at most nine.
pub(super) fn fields(item: &Item, room: &Room) -> Vec<String> {
    if item.is_ours() {
        return vec![field(since_label(item), &date(item.since))];
    }
    let class = &item.class;
    let owner = match (&class.controller, &class.service) {
        (Some(controller), _) => ("Controller", controller.as_str()),
        (None, Some(service)) => ("Service", service.as_str()),
        (None, None) => ("Component", class.component.as_str()),
    };
    let base = if item.is_tag { "Version" } else { "Branch" };
    let named = [
        Some(owner),
        class.stage.as_deref().map(|stage| ("Stage", stage)),
        (!item.base_ref.is_empty()).then_some((base, item.base_ref.as_str())),
        (!item.is_stalled()).then_some(("Job", item.job.as_str())),
    ];
    let named = named
        .into_iter()
        .flatten()
        .map(|(label, value)| field(label, &code(value, room.name)));
    named.chain(history_fields(item, room)).collect()
}

fn since_label(item: &Item) -> &'static str {
    match &item.recovered {
        _ if item.is_stalled() => "Due by",
        Some(_) => "First failure",
        None => "Failing since",
    }
}

fn history_fields(item: &Item, room: &Room) -> Vec<String> {
    let mut fields = vec![
        field("Severity", item.class.severity.as_str()),
        field(since_label(item), &date(item.since)),
    ];
    if !item.is_stalled() {
        fields.push(field("How often", &failed_runs(item.failures)));
        fields.push(field("Last good run", &last_good(item, room)));
    }
    if let Some(ask) = &item.ask {
        fields.push(field("Who may know more", &code(ask, room.name)));
    }
    fields
}

fn field(label: &str, value: &str) -> String {
    format!("*{label}*\n{value}")
}

fn last_good(item: &Item, room: &Room) -> String {
    match &item.last_good {
        None => "none on record".to_owned(),
        Some(good) if good.base_ref.is_empty() => date(good.at),
        Some(good) => format!("{} {}", code(&good.base_ref, room.name), date(good.at)),
    }
}
