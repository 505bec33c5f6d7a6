//! The first line of a message: whose what broke, or how that went on.

use super::{
    text::inline,
    words::{
        HEADLINE_NAME, counted, duration, failed, healed_subject, is_catch_up, is_first_start,
        is_hushed, mark, owners, services, single, step, subject,
    },
};
use crate::domain::{
    incident::Kind,
    notification::{Event, Item, Notification},
};

/// Whose what broke, on one line.
pub(super) fn line(notification: &Notification) -> String {
    let mark = mark(notification);
    match (single(notification), notification.event) {
        (Some(item), event) if item.kind == Kind::Mass => {
            format!("{mark} {}", mass_headline(item, event))
        }
        (Some(item), event) if item.is_ours() => format!("{mark} {}", own_headline(item, event)),
        (Some(item), event) if item.is_stalled() => {
            format!("{mark} {}: {}", subject(item), missing(item, event))
        }
        (Some(item), Event::Opened) => {
            format!("{mark} {}: {} {}", subject(item), step(item), failed(item))
        }
        (Some(item), Event::StillFailing) => {
            format!("{mark} {}: {} still failing", subject(item), step(item))
        }
        (Some(item), Event::Recovered) => {
            format!("{mark} {}: {} recovered", healed_subject(item), step(item))
        }
        (Some(item), Event::SharedCause) => format!(
            "{mark} {}: {} fails too, {} in all",
            subject(item),
            step(item),
            services(notification, owners(notification))
        ),
        _ => format!("{mark} {}", headline_of_many(notification)),
    }
}

/// `Mass failure: 18 of 24 jobs that ended within 30 min failed`, without the names that follow.
fn mass_headline(item: &Item, event: Event) -> String {
    let (what, _) = item.what.split_once(':').unwrap_or((&item.what, ""));
    match event {
        Event::Recovered => "Mass failure is over".to_owned(),
        Event::StillFailing => "Mass failure goes on".to_owned(),
        Event::Opened | Event::Stalled | Event::SharedCause | Event::Digest => {
            format!("Mass failure: {}", inline(what, 3 * HEADLINE_NAME))
        }
    }
}

/// `prow-notifier: reading logs fails`.
fn own_headline(item: &Item, event: Event) -> String {
    let end = match event {
        Event::Recovered => "works again",
        Event::StillFailing => "still fails",
        Event::Opened | Event::Stalled | Event::SharedCause | Event::Digest => "fails",
    };
    format!("{}: {} {end}", item.class.owner(), step(item))
}

/// `publish did not start`, and how that went on.
fn missing(item: &Item, event: Event) -> String {
    let step = step(item);
    let (missing, arrived) = match item.kind {
        Kind::Overdue => ("is overdue", "ended after all"),
        Kind::Silent => ("has not run", "runs again"),
        Kind::Failing | Kind::Stalled | Kind::Trouble | Kind::Mass => {
            ("did not start", "started after all")
        }
    };
    match (event, &item.recovered) {
        (Event::Recovered, Some(good)) => {
            format!("{step} {arrived}, {} late", duration(good.after))
        }
        (Event::Recovered, None) => format!("{step} {arrived}"),
        (Event::StillFailing, _) => format!("{step} still {missing}"),
        (Event::Opened | Event::Stalled | Event::SharedCause | Event::Digest, _) => {
            format!("{step} {missing}")
        }
    }
}

/// Whether all that it speaks of are stages that did not start.
pub(super) fn all_stalled(notification: &Notification) -> bool {
    notification.items.iter().all(Item::is_stalled)
}

fn headline_of_many(notification: &Notification) -> String {
    let step = notification.items.first().map_or_else(String::new, step);
    let all = services(notification, owners(notification));
    let listed = services(notification, notification.total);
    match notification.event {
        Event::Digest if is_first_start(notification) => {
            let jobs = counted(notification.total, "job", "jobs");
            format!("Failing since before the first start: {jobs}")
        }
        Event::Digest if is_catch_up(notification) => {
            format!("After an outage: {}", failing_and_recovered(notification))
        }
        Event::Digest if is_hushed(notification) => {
            format!(
                "While it was quiet: {}",
                failing_and_recovered(notification)
            )
        }
        Event::Digest => format!("Digest: {}", failing_and_recovered(notification)),
        Event::Recovered if all_stalled(notification) => {
            format!("{step} started after all in {listed}")
        }
        Event::Recovered => format!("{step} recovered in {listed}"),
        Event::StillFailing if all_stalled(notification) => {
            format!("{step} has still not started in {listed}")
        }
        Event::StillFailing => format!("{step} still failing in {listed}"),
        Event::Stalled => missing_in(notification, &step, &all),
        Event::Opened | Event::SharedCause if all_stalled(notification) => {
            let missing = missing_in(notification, &step, &all);
            if notification.earlier.is_empty() {
                missing
            } else {
                format!("{missing}, {} new", notification.total)
            }
        }
        Event::Opened | Event::SharedCause if notification.earlier.is_empty() => {
            format!("{step} fails in {all}")
        }
        Event::Opened | Event::SharedCause => {
            format!("{step} fails in {all}, {} new", notification.total)
        }
    }
}

/// `publish did not start in 3 services`.
fn missing_in(notification: &Notification, step: &str, owners: &str) -> String {
    match notification.items.first().map(|item| item.kind) {
        Some(Kind::Overdue) => format!("{step} is overdue in {owners}"),
        Some(Kind::Silent) => format!("{step} has not run in {owners}"),
        Some(Kind::Failing | Kind::Stalled | Kind::Trouble | Kind::Mass) | None => {
            format!("{step} did not start in {owners}")
        }
    }
}

fn failing_and_recovered(notification: &Notification) -> String {
    let items = notification.items.iter();
    let recovered = items.filter(|item| item.recovered.is_some()).count();
    let failing = notification.total.saturating_sub(recovered);
    match (failing, recovered) {
        (_, 0) => format!("{} failing", counted(failing, "job", "jobs")),
        (0, _) => format!("{} recovered", counted(recovered, "job", "jobs")),
        _ => format!(
            "{} failing, {recovered} recovered",
            counted(failing, "job", "jobs")
        ),
    }
}
