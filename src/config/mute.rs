//! The `mute` lists: times of the week in which some things are not told.

use jiff::{
    civil::{Time, Weekday},
    tz::TimeZone,
};

use super::{
    error::{Place, Problem},
    rules::{read_bool, read_matchers},
    yaml::Node,
};
use crate::domain::{
    mute::{Span, Window},
    nearest,
    silence::is_kept,
};

/// Keys of a mute window.
pub const MUTE_KEYS: [&str; 7] = [
    "name", "match", "times", "days", "months", "timezone", "critical",
];
/// Names of days, Monday first.
pub const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Names of months.
pub const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

/// Reads one window.
pub(super) fn read(node: &Node, known: &[Window]) -> Result<Window, Problem> {
    let mut window = Window {
        name: String::new(),
        matchers: Vec::new(),
        times: Vec::new(),
        days: Vec::new(),
        months: Vec::new(),
        zone: TimeZone::UTC,
        critical: false,
        on_routes: false,
    };
    let mut zone = None;
    for (key, _, value) in node.entries("a mute window", &MUTE_KEYS)? {
        match key.as_str() {
            "name" => value.text("name")?.clone_into(&mut window.name),
            "match" => window.matchers = read_matchers(value)?,
            "times" => window.times = read_all("times", value, read_span)?,
            "days" => window.days = read_all("days", value, read_day)?,
            "months" => window.months = read_all("months", value, read_month)?,
            "timezone" => zone = Some(read_zone(value)?),
            _ => window.critical = read_bool("critical", value)?,
        }
    }
    let problem = |what: String, hint: &str| Err(Problem::at(node.place.clone(), what, hint));
    if window.name.is_empty() || window.name.contains('|') {
        let hint = "add `name: ...`; what it holds back is shown with it";
        return problem("a mute window needs a name without `|`".to_owned(), hint);
    }
    let name = &window.name;
    if known.iter().any(|other| other.name == *name) {
        let what = format!("a second mute window named `{name}`");
        return problem(what, "give each window its own name");
    }
    let unkept = window.matchers.iter();
    if let Some(matcher) = unkept.clone().find(|matcher| !is_kept(&matcher.label)) {
        let what =
            format!("mute window `{name}` matches on `{matcher}`, which incidents do not keep");
        let hint =
            "match on type, org, repo, job, ref, cluster, service, component, stage or severity";
        return problem(what, hint);
    }
    let Some(zone) = zone else {
        let what = format!("mute window `{name}` does not say whose clocks it goes by");
        return problem(what, "add `timezone: Europe/Berlin`, or UTC");
    };
    window.zone = zone;
    Ok(window)
}

fn read_all<T>(
    key: &str,
    node: &Node,
    read: impl Fn(&Node) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    node.items(key)?.iter().map(read).collect()
}

/// `22:00-06:00`; `24:00` is the end of the day.
fn read_span(node: &Node) -> Result<Span, Problem> {
    let text = node.text("times")?;
    let clock = |text: &str| -> Option<Time> {
        let (hour, minute) = text.trim().split_once(':')?;
        match (hour.parse().ok()?, minute.parse().ok()?) {
            (24, 0) => Some(Time::midnight()),
            (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
        }
    };
    let span = text.split_once('-').and_then(|(from, to)| {
        Some(Span {
            from: clock(from)?,
            to: clock(to)?,
        })
    });
    span.ok_or_else(|| {
        let what = format!("`{text}` is no time of the day");
        let hint = "write 22:00-06:00; what ends before it begins ends on the next day";
        Problem::at(node.place.clone(), what, hint)
    })
}

fn read_day(node: &Node) -> Result<Weekday, Problem> {
    let at = position("days", node, &DAYS)?;
    Ok(Weekday::from_monday_zero_offset(at).unwrap_or(Weekday::Monday))
}

fn read_month(node: &Node) -> Result<i8, Problem> {
    Ok(position("months", node, &MONTHS)? + 1)
}

fn position(key: &str, node: &Node, names: &[&str]) -> Result<i8, Problem> {
    let text = node.text(key)?;
    let found = names.iter().position(|name| *name == text);
    found.and_then(|at| i8::try_from(at).ok()).ok_or_else(|| {
        let hint = nearest::hint(text, names.iter().copied());
        let what = format!("`{text}` is none of the {key}{hint}");
        Problem::at(
            node.place.clone(),
            what,
            format!("write {}", names.join(", ")),
        )
    })
}

fn read_zone(node: &Node) -> Result<TimeZone, Problem> {
    let text = node.text("timezone")?;
    TimeZone::get(text).map_err(|_| {
        let what = format!("`{text}` is not a time zone");
        let hint = "write a name of the tz database, such as Europe/Berlin or UTC";
        Problem::at(node.place.clone(), what, hint)
    })
}

/// Marks windows that routes name; every name must be that of a window.
pub(super) fn check(
    windows: &mut [Window],
    named: &[(String, Place)],
    problems: &mut Vec<Problem>,
) {
    for (name, place) in named {
        if let Some(window) = windows.iter_mut().find(|window| window.name == *name) {
            window.on_routes = true;
            continue;
        }
        let hint = nearest::hint(name, windows.iter().map(|window| window.name.as_str()));
        let what = format!("no mute window is named `{name}`{hint}");
        problems.push(Problem::at(place.clone(), what, ""));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::yaml;

    /// The value of the only key of a file.
    fn node(text: &str) -> Node {
        let indented = text.replace('\n', "\n  ");
        let file = format!("mute:\n  {indented}\n");
        let root = yaml::parse(Path::new("c.yaml"), file).unwrap();
        root.entries("the file", &["mute"]).unwrap()[0].2.clone()
    }

    fn windows(text: &str) -> Result<Vec<Window>, String> {
        let mut windows = Vec::new();
        for item in node(text).items("mute").unwrap() {
            let window = read(item, &windows).map_err(|problem| problem.to_string())?;
            windows.push(window);
        }
        Ok(windows)
    }

    #[test]
    fn a_window_is_read_as_people_write_it() {
        let read = windows(
            "- name: nights\n  match: ['severity=\"non-critical\"']\n  times: ['22:00-06:00', '12:00-24:00']\n  \
             days: [mon, sun]\n  months: [jan, dec]\n  timezone: Europe/Berlin\n- {name: b, timezone: UTC, critical: true}",
        )
        .unwrap();
        let said = "22:00 to 06:00 and 12:00 to 00:00, Mon, Sun, in Jan, Dec, Europe/Berlin";
        assert_eq!(read[0].words(), said);
        assert_eq!(read[1].words(), "all day, UTC");
        assert!(read[1].critical && !read[0].critical);
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (text, told) in [
            ("- {timezone: UTC}", "needs a name"),
            ("- {name: a}", "whose clocks"),
            ("- {name: a, timezone: Mars/Phobos}", "not a time zone"),
            (
                "- {name: a, timezone: UTC, days: [monday]}",
                "is none of the days",
            ),
            (
                "- {name: a, timezone: UTC, months: [13]}",
                "is none of the months",
            ),
            (
                "- {name: a, timezone: UTC, times: ['25:00-26:00']}",
                "no time of the day",
            ),
            (
                "- {name: a, timezone: UTC, match: 'label:x=\"y\"'}",
                "do not keep",
            ),
            (
                "- {name: a, timezone: UTC}\n- {name: a, timezone: UTC}",
                "a second mute window",
            ),
        ] {
            let error = windows(text).map(drop).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn a_route_names_windows_that_exist() {
        let place = windows("- {name: nights, timezone: UTC}").map(|mut windows| {
            let named = |name: &str| [(name.to_owned(), node("[]").place)];
            let mut problems = Vec::new();
            check(&mut windows, &named("nights"), &mut problems);
            assert!(problems.is_empty() && windows[0].on_routes);
            check(&mut windows, &named("night"), &mut problems);
            problems[0].to_string()
        });
        let told = place.unwrap();
        assert!(told.contains("did you mean `nights`"), "{told}");
    }
}
