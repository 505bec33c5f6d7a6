//! Mute windows: times of the week in which what matches is not told, by the clocks of a place. A window begins when
//! these first show its begin and ends when they last show its end: an hour that does not exist makes it shorter, one
//! that comes twice makes it longer, and neither makes two of it.

use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};

use super::{
    classify::Severity,
    matcher::{Labels, Matcher},
};

/// One window.
#[derive(Debug, Clone)]
pub struct Window {
    /// Its name, unique.
    pub name: String,
    /// What it is about; none is everything.
    pub matchers: Vec<Matcher>,
    /// Times of the day; none is the whole day.
    pub times: Vec<Span>,
    /// Days on which it begins; none is all.
    pub days: Vec<Weekday>,
    /// Months in which it begins, from 1; none is all.
    pub months: Vec<i8>,
    /// Whose clocks.
    pub zone: TimeZone,
    /// Whether it hides what is critical too.
    pub critical: bool,
    /// Whether routes name it: then it applies there alone, else everywhere.
    pub on_routes: bool,
}

/// A time of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// It begins then.
    pub from: Time,
    /// It ends then, on the next day when that is not after its begin.
    pub to: Time,
}

/// Windows that follow each other without a gap are followed so far: more days than a year has.
const FOLLOWED: usize = 400;
/// No gap within that is none at all: days and months come again, and clocks were changed both ways.
const OVER_A_YEAR: SignedDuration = SignedDuration::from_hours(24 * 400);
/// Windows of a quarter of an hour each follow each other for so long.
const MOST_FOLLOWED: usize = 100 * FOLLOWED;

impl Window {
    /// Whether it is about something.
    pub fn covers(&self, labels: &Labels<'_>, severity: Severity) -> bool {
        (self.critical || severity != Severity::Critical)
            && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Until when it lasts that is open now; `None` when none is. Windows that touch are one.
    pub fn until(&self, now: Timestamp) -> Option<Timestamp> {
        let mut end = self.end_of_open(now)?;
        for _ in 0..FOLLOWED {
            match self.end_of_open(end) {
                Some(later) => end = later,
                None => break,
            }
        }
        Some(end)
    }

    /// Whether it is open from a moment on for more than a year, and so for ever: what it hides would never be told.
    pub fn never_ends(&self, from: Timestamp) -> bool {
        let mut end = from;
        for _ in 0..MOST_FOLLOWED {
            match self.end_of_open(end) {
                Some(later) => end = later,
                None => return false,
            }
            if end.duration_since(from) > OVER_A_YEAR {
                return true;
            }
        }
        true
    }

    /// When it is open, in words: `22:00 to 06:00, mon, tue, in dec, Europe/Berlin`.
    pub fn words(&self) -> String {
        let clock = |time: Time| time.strftime("%H:%M").to_string();
        let span = |span: &Span| format!("{} to {}", clock(span.from), clock(span.to));
        let times: Vec<String> = self.times.iter().map(span).collect();
        let days: Vec<String> = self.days.iter().map(|day| day_name(*day)).collect();
        let months = self.months.iter().filter_map(|month| {
            let first = Date::new(2000, *month, 1).ok()?;
            Some(first.strftime("%b").to_string())
        });
        let months: Vec<String> = months.collect();
        let parts = [
            if times.is_empty() {
                "all day".to_owned()
            } else {
                times.join(" and ")
            },
            days.join(", "),
            if months.is_empty() {
                String::new()
            } else {
                format!("in {}", months.join(", "))
            },
            self.zone.iana_name().unwrap_or("UTC").to_owned(),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(", ")
    }

    /// The latest end of those that have begun and not ended.
    fn end_of_open(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let begun = [today.yesterday().ok(), Some(today)];
        let spans = begun
            .into_iter()
            .flatten()
            .filter(|date| self.begins_on(*date))
            .flat_map(|date| self.spans_of(date));
        spans
            .filter(|(from, to)| *from <= now && now < *to)
            .map(|(_, to)| to)
            .max()
    }

    fn begins_on(&self, date: Date) -> bool {
        (self.days.is_empty() || self.days.contains(&date.weekday()))
            && (self.months.is_empty() || self.months.contains(&date.month()))
    }

    fn spans_of(&self, date: Date) -> Vec<(Timestamp, Timestamp)> {
        let next = date.tomorrow().unwrap_or(date);
        let midnight = Time::midnight();
        let whole = [Span {
            from: midnight,
            to: midnight,
        }];
        let spans = if self.times.is_empty() {
            &whole[..]
        } else {
            &self.times
        };
        let moments = |span: &Span| {
            let ends_on = if span.to > span.from { date } else { next };
            let from = self.moment(date.to_datetime(span.from), false)?;
            Some((from, self.moment(ends_on.to_datetime(span.to), true)?))
        };
        spans.iter().filter_map(moments).collect()
    }

    /// When the clocks show this, the first or the last time; when they never do, the moment at which they leap over
    /// it.
    fn moment(&self, shown: DateTime, last: bool) -> Option<Timestamp> {
        let found = self.zone.to_ambiguous_timestamp(shown);
        match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => found.compatible().ok(),
            AmbiguousOffset::Fold { .. } if last => found.later().ok(),
            AmbiguousOffset::Fold { .. } => found.earlier().ok(),
            AmbiguousOffset::Gap { .. } => {
                let before = found.earlier().ok()?;
                let mut leaps = self.zone.following(before);
                leaps.next().map(|leap| leap.timestamp())
            }
        }
    }
}

fn day_name(day: Weekday) -> String {
    // The first Monday of a year that begins with one.
    let day = i32::from(day.to_monday_zero_offset());
    let monday = Date::constant(2001, 1, 1);
    let date = monday.checked_add(jiff::Span::new().days(day));
    date.map_or_else(|_| String::new(), |date| date.strftime("%a").to_string())
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn window(zone: &str, times: &[(i8, i8, i8, i8)]) -> Window {
        let span = |&(h1, m1, h2, m2): &(i8, i8, i8, i8)| Span {
            from: time(h1, m1, 0, 0),
            to: time(h2, m2, 0, 0),
        };
        Window {
            name: "nights".to_owned(),
            matchers: Vec::new(),
            times: times.iter().map(span).collect(),
            days: Vec::new(),
            months: Vec::new(),
            zone: TimeZone::get(zone).unwrap(),
            critical: false,
            on_routes: false,
        }
    }

    /// Until when it is quiet at a moment.
    fn until(window: &Window, at: &str) -> Option<String> {
        let until = window.until(at.parse().unwrap())?;
        Some(until.to_string())
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let friday = Window {
            days: vec![Weekday::Friday],
            ..window("Europe/Berlin", &[(22, 0, 6, 0)])
        };
        // A Friday in July; Berlin is two hours ahead.
        assert_eq!(until(&friday, "2026-07-10T19:59:59Z"), None);
        let end = Some("2026-07-11T04:00:00Z".to_owned());
        assert_eq!(until(&friday, "2026-07-10T20:00:00Z"), end);
        assert_eq!(until(&friday, "2026-07-11T03:59:59Z"), end);
        assert_eq!(until(&friday, "2026-07-11T04:00:00Z"), None);
        assert_eq!(until(&friday, "2026-07-11T20:00:00Z"), None, "a Saturday");
    }

    #[test]
    fn days_that_follow_each_other_are_one_window() {
        let weekend = Window {
            days: vec![Weekday::Saturday, Weekday::Sunday],
            ..window("America/New_York", &[])
        };
        let end = Some("2026-07-13T04:00:00Z".to_owned());
        assert_eq!(until(&weekend, "2026-07-11T04:00:00Z"), end);
        assert_eq!(until(&weekend, "2026-07-13T03:59:59Z"), end);
        assert_eq!(until(&weekend, "2026-07-13T04:00:00Z"), None);
        let always = window("Europe/Berlin", &[]);
        assert!(
            always
                .until("2026-07-11T04:00:00Z".parse().unwrap())
                .is_some()
        );
    }

    #[test]
    fn an_hour_that_does_not_exist_makes_a_window_shorter() {
        // Berlin goes from 02:00 to 03:00 on 2026-03-29 at 01:00 UTC.
        let night = window("Europe/Berlin", &[(1, 30, 2, 30)]);
        let end = Some("2026-03-29T01:00:00Z".to_owned());
        assert_eq!(until(&night, "2026-03-29T00:30:00Z"), end);
        assert_eq!(until(&night, "2026-03-29T01:00:00Z"), None);
        let within = window("Europe/Berlin", &[(2, 0, 2, 45)]);
        for minute in 0..180 {
            let at = "2026-03-29T00:00:00Z".parse::<Timestamp>().unwrap()
                + jiff::SignedDuration::from_mins(minute);
            assert_eq!(within.until(at), None, "{at}");
        }
        let over = window("Europe/Berlin", &[(2, 15, 4, 0)]);
        assert_eq!(until(&over, "2026-03-29T00:59:59Z"), None);
        let end = Some("2026-03-29T02:00:00Z".to_owned());
        assert_eq!(until(&over, "2026-03-29T01:00:00Z"), end);
    }

    #[test]
    fn an_hour_that_comes_twice_makes_a_window_longer_and_not_two() {
        // Berlin goes back from 03:00 to 02:00 on 2026-10-25 at 01:00 UTC.
        let night = window("Europe/Berlin", &[(2, 15, 2, 45)]);
        let end = Some("2026-10-25T01:45:00Z".to_owned());
        assert_eq!(until(&night, "2026-10-25T00:14:59Z"), None);
        assert_eq!(until(&night, "2026-10-25T00:15:00Z"), end);
        assert_eq!(until(&night, "2026-10-25T00:50:00Z"), end);
        assert_eq!(until(&night, "2026-10-25T01:44:59Z"), end);
        assert_eq!(until(&night, "2026-10-25T01:45:00Z"), None);
    }

    #[test]
    fn a_window_without_a_gap_never_ends() {
        let from = "2026-07-11T04:00:00Z".parse().unwrap();
        let never_ends =
            |times: &[(i8, i8, i8, i8)]| window("Europe/Berlin", times).never_ends(from);
        assert!(never_ends(&[]));
        assert!(never_ends(&[(8, 0, 20, 0), (20, 0, 8, 0)]));
        assert!(!never_ends(&[(8, 0, 20, 0), (20, 0, 7, 59)]));
        let but_sundays = Window {
            days: (0..6)
                .map(|day| Weekday::from_monday_zero_offset(day).unwrap())
                .collect(),
            ..window("Europe/Berlin", &[])
        };
        assert!(!but_sundays.never_ends(from));
        let but_july = Window {
            months: (1..=12).filter(|month| *month != 7).collect(),
            ..window("UTC", &[])
        };
        assert!(!but_july.never_ends(from));
        assert!(!but_july.never_ends("2026-08-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn months_and_severity_bound_a_window() {
        let december = Window {
            months: vec![12],
            ..window("UTC", &[])
        };
        assert_eq!(until(&december, "2026-11-30T23:59:59Z"), None);
        let end = Some("2027-01-01T00:00:00Z".to_owned());
        assert_eq!(until(&december, "2026-12-24T18:00:00Z"), end);
        let words = Window {
            days: vec![Weekday::Monday, Weekday::Sunday],
            months: vec![1, 12],
            ..window("Europe/Berlin", &[(22, 0, 6, 30)])
        };
        let said = "22:00 to 06:30, Mon, Sun, in Jan, Dec, Europe/Berlin";
        assert_eq!(words.words(), said);
    }
}
