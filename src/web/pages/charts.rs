//! Charts as SVG, drawn here so that they need no script: classes and no styles, and no text but numbers and dates.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use minijinja::{Environment, Error, ErrorKind, Value};

use crate::domain::time::words;

/// Width of the drawing in SVG units, without the labels to its left.
const WIDTH: f64 = 480.0;
/// Its height, without the labels below.
const HEIGHT: f64 = 120.0;
/// Room for labels on the left.
const LEFT: f64 = 82.0;
/// Room above.
const TOP: f64 = 8.0;
/// Room for labels below.
const BELOW: f64 = 22.0;

/// What values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Shares in percent, with intervals.
    Percent,
    /// Seconds.
    Seconds,
    /// Numbers.
    Count,
}

/// One point of a chart over time.
#[derive(Debug, Clone)]
struct Point {
    at: Timestamp,
    value: Option<f64>,
    /// Ends of the interval, where it has to be looked at.
    interval: Option<(f64, f64)>,
    n: Option<i64>,
}

/// Makes charts known to templates.
pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_function("weekly_chart", weekly_chart);
    environment.add_function("scatter_chart", scatter_chart);
}

/// A line over weeks: `weekly_chart(weeks, "success", "percent", "Release success")`.
fn weekly_chart(weeks: &Value, key: &str, form: &str, label: &str) -> Result<Value, Error> {
    let form = match form {
        "percent" => Form::Percent,
        "seconds" => Form::Seconds,
        _ => Form::Count,
    };
    let points = weeks
        .try_iter()?
        .map(|week| point(&week, key))
        .collect::<Result<Vec<Point>, Error>>()?;
    Ok(Value::from_safe_string(line(&points, form, label)))
}

fn point(week: &Value, key: &str) -> Result<Point, Error> {
    let from = week.get_attr("from")?;
    let at = from.as_str().and_then(|text| text.parse().ok());
    let at = at.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "a week has no begin"))?;
    let value = week.get_attr(key)?;
    let number = |name: &str| {
        value
            .get_attr(name)
            .ok()
            .and_then(|value| f64::try_from(value).ok())
    };
    if let Some(n) = number("n") {
        let few = value.get_attr("few")?.is_true() && n > 0.0;
        return Ok(Point {
            at,
            value: number("percent"),
            interval: number("low").zip(number("high")).filter(|_| few),
            n: value.get_attr("n").ok().and_then(|n| i64::try_from(n).ok()),
        });
    }
    Ok(Point {
        at,
        value: f64::try_from(value).ok(),
        interval: None,
        n: None,
    })
}

/// From 0 to the top of a chart, at a round number.
fn ceiling(most: f64, form: Form) -> f64 {
    match form {
        Form::Percent => 100.0,
        Form::Seconds => {
            let steps = [
                60.0,
                300.0,
                900.0,
                3600.0,
                4.0 * 3600.0,
                43_200.0,
                86_400.0,
                3.0 * 86_400.0,
            ];
            steps
                .into_iter()
                .find(|step| *step >= most)
                .unwrap_or_else(|| (most / 604_800.0).ceil() * 604_800.0)
        }
        Form::Count => {
            let power = 10_f64.powf(most.max(1.0).log10().floor());
            let steps = [1.0, 2.0, 4.0, 10.0].map(|step| step * power);
            steps.into_iter().find(|step| *step >= most).unwrap_or(most)
        }
    }
}

fn line(points: &[Point], form: Form, label: &str) -> String {
    let most = points
        .iter()
        .filter_map(|point| point.value)
        .fold(0.0, f64::max);
    let top = ceiling(most, form);
    let last = points.len().saturating_sub(1);
    let x = |index: usize| LEFT + WIDTH * position(index, last);
    let y = |value: f64| TOP + HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
    let mut svg = open(label);
    for part in [0.0, 0.5, 1.0] {
        grid(&mut svg, y(part * top), &shown(part * top, form));
    }
    for (index, point) in points.iter().enumerate() {
        if index % (last / 5 + 1) == 0 {
            below(&mut svg, x(index), &day(point.at));
        }
    }
    let mut path = String::new();
    let mut drawing = false;
    for (index, point) in points.iter().enumerate() {
        if let Some(value) = point.value {
            let step = if drawing { 'L' } else { 'M' };
            push(
                &mut path,
                format_args!("{step}{:.1} {:.1}", x(index), y(value)),
            );
        }
        drawing = point.value.is_some();
    }
    push(&mut svg, format_args!(r#"<path class="line" d="{path}"/>"#));
    for (index, point) in points.iter().enumerate() {
        dot(&mut svg, point, x(index), &y, form);
    }
    svg.push_str("</svg>");
    svg
}

fn dot(svg: &mut String, point: &Point, x: f64, y: &impl Fn(f64) -> f64, form: Form) {
    let Some(value) = point.value else {
        return;
    };
    let n = point.n.map(|n| format!(", n={n}")).unwrap_or_default();
    let mut interval = String::new();
    if let Some((low, high)) = point.interval {
        push(
            svg,
            format_args!(
                r#"<path class="whisker" d="M{x:.1} {:.1}V{:.1}"/>"#,
                y(low),
                y(high)
            ),
        );
        interval = format!(" ({low:.0} to {high:.0} %)");
    }
    push(
        svg,
        format_args!(
            r#"<circle class="dot" cx="{x:.1}" cy="{:.1}" r="3"><title>{}: {}{n}{interval}</title></circle>"#,
            y(value),
            day(point.at),
            shown(value, form)
        ),
    );
}

/// Durations of runs over time, on a scale where each step is ten times the one before: `scatter_chart(durations)`.
fn scatter_chart(durations: &Value, slow_from_s: &Value, label: &str) -> Result<Value, Error> {
    let mut runs = Vec::new();
    for run in durations.try_iter()? {
        let number = |name: &str| -> Result<f64, Error> { f64::try_from(run.get_attr(name)?) };
        let state = run.get_attr("state")?;
        let good = state.as_str() == Some("healthy");
        runs.push((
            number("at_s")?,
            number("ran_s")?.max(1.0),
            good,
            run.get_attr("slow")?.is_true(),
        ));
    }
    let slow = f64::try_from(slow_from_s.clone()).ok();
    Ok(Value::from_safe_string(scatter(&runs, slow, label)))
}

fn scatter(runs: &[(f64, f64, bool, bool)], slow: Option<f64>, label: &str) -> String {
    let least = runs
        .iter()
        .map(|run| run.1)
        .fold(60.0, f64::min)
        .log10()
        .floor();
    let most = runs
        .iter()
        .map(|run| run.1)
        .fold(600.0, f64::max)
        .log10()
        .ceil();
    let (from, to) = runs.iter().fold((f64::MAX, f64::MIN), |(from, to), run| {
        (from.min(run.0), to.max(run.0))
    });
    let span = (to - from).max(1.0);
    let x = |at: f64| LEFT + WIDTH * (at - from) / span;
    let y = |seconds: f64| TOP + HEIGHT * (1.0 - (seconds.log10() - least) / (most - least));
    let mut svg = open(label);
    for seconds in [
        1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0, 86_400.0, 864_000.0,
    ] {
        if (least..=most).contains(&f64::log10(seconds)) {
            grid(&mut svg, y(seconds), &shown(seconds, Form::Seconds));
        }
    }
    if let Some(slow) = slow.filter(|slow| (least..=most).contains(&slow.log10())) {
        push(
            &mut svg,
            format_args!(
                r#"<path class="limit" d="M{LEFT} {0:.1}H{1}"><title>slow from {2} on</title></path>"#,
                y(slow),
                LEFT + WIDTH,
                shown(slow, Form::Seconds)
            ),
        );
    }
    for (at, seconds, good, slow) in runs {
        let (x, y) = (x(*at), y(*seconds));
        let (class, shape) = if *good {
            (
                "dot",
                format!("M{:.1} {y:.1}a3 3 0 1 0 6 0a3 3 0 1 0-6 0", x - 3.0),
            )
        } else {
            (
                "cross",
                format!("M{:.1} {:.1}l6 6m0-6l-6 6", x - 3.0, y - 3.0),
            )
        };
        let late = if *slow { " slow" } else { "" };
        push(
            &mut svg,
            format_args!(
                r#"<path class="{class}{late}" d="{shape}"><title>{}: {}{}</title></path>"#,
                moment(*at).map(minute).unwrap_or_default(),
                shown(*seconds, Form::Seconds),
                if *good { "" } else { ", bad" }
            ),
        );
    }
    if runs.len() > 1 {
        for at in [from, from + span / 2.0, to] {
            below(&mut svg, x(at), &moment(at).map(day).unwrap_or_default());
        }
    }
    svg.push_str("</svg>");
    svg
}

fn open(label: &str) -> String {
    let mut svg = String::new();
    let (width, height) = (LEFT + WIDTH + 18.0, TOP + HEIGHT + BELOW);
    push(
        &mut svg,
        format_args!(
            r#"<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{}">"#,
            escaped(label)
        ),
    );
    svg
}

fn grid(svg: &mut String, y: f64, label: &str) {
    push(
        svg,
        format_args!(
            r#"<path class="grid" d="M{LEFT} {y:.1}H{}"/><text class="axis end" x="{}" y="{:.1}">{label}</text>"#,
            LEFT + WIDTH,
            LEFT - 6.0,
            y + 4.0
        ),
    );
}

fn below(svg: &mut String, x: f64, label: &str) {
    let y = TOP + HEIGHT + 16.0;
    push(
        svg,
        format_args!(r#"<text class="axis mid" x="{x:.1}" y="{y}">{label}</text>"#),
    );
}

#[expect(clippy::cast_precision_loss, reason = "a chart has few points")]
fn position(index: usize, last: usize) -> f64 {
    if last == 0 {
        0.5
    } else {
        index as f64 / last as f64
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "what is shown has no fractions"
)]
fn shown(value: f64, form: Form) -> String {
    match form {
        Form::Percent => format!("{value:.0} %"),
        Form::Seconds => words(value.round() as i64),
        Form::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Form::Count => format!("{value:.1}"),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole seconds are enough")]
fn moment(seconds: f64) -> Option<Timestamp> {
    Timestamp::from_second(seconds as i64).ok()
}

fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b").to_string()
}

fn minute(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%-d %b %H:%M")
        .to_string()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part)
        .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(day: u32, value: Option<f64>) -> Point {
        Point {
            at: format!("2026-05-{day:02}T00:00:00Z").parse().unwrap(),
            value,
            interval: None,
            n: Some(3),
        }
    }

    #[test]
    fn a_line_breaks_where_nothing_is_known() {
        let points = [
            point(4, Some(50.0)),
            point(11, None),
            point(18, Some(100.0)),
        ];
        let svg = line(&points, Form::Percent, "Success");
        assert!(svg.contains(r#"d="M82.0 68.0M562.0 8.0""#), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("<title>4 May: 50 %, n=3</title>"), "{svg}");
    }

    #[test]
    fn few_releases_show_how_sure_their_share_is() {
        let mut sure = point(4, Some(50.0));
        sure.interval = Some((20.0, 80.0));
        let svg = line(&[sure], Form::Percent, "Success");
        assert!(
            svg.contains("whisker") && svg.contains("(20 to 80 %)"),
            "{svg}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_label_ends_the_attribute_that_it_stands_in(label in ".*[<>\"'&]{0,4}.*") {
            let svg = line(&[point(4, Some(50.0))], Form::Percent, &label);
            let bare = line(&[point(4, Some(50.0))], Form::Percent, "");
            let rest = svg.strip_suffix(bare.split_once("aria-label=\"").unwrap().1);
            let shown = rest.unwrap().split_once("aria-label=\"").unwrap().1;
            proptest::prop_assert!(!shown.contains(['<', '>', '"']), "{}", svg);
        }
    }

    #[test]
    fn charts_of_nothing_and_of_hostile_labels_are_charts() {
        let svg = line(&[], Form::Seconds, "\"><script>alert(1)</script>");
        assert!(svg.ends_with("</svg>") && !svg.contains("<script"), "{svg}");
        assert!(scatter(&[], None, "Durations").ends_with("</svg>"));
        let one = scatter(
            &[(1_778_000_000.0, 30.0, false, true)],
            Some(100.0),
            "Durations",
        );
        assert!(
            one.contains("cross slow") && one.contains("bad") && !one.contains("NaN"),
            "{one}"
        );
    }
}
