//! Are we getting better? Figures week by week, with how much they rest on.

mod failing;
pub mod fleet;
mod part;
mod week;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use self::part::{Judged, Part};
pub use self::{
    failing::{Failing, Sick},
    week::Week,
};
use super::age::DataAge;
use crate::{
    domain::{
        figures::{self, IncidentFigures, Outcome, ReleaseFigures},
        fold::to_signed,
        stats::{Passed, fisher_worse, share, wilson},
    },
    pipeline::Shared,
    store::{Counts, StoreError},
};

/// Time windows to choose from, in days.
pub const WINDOWS: [u16; 4] = [30, 90, 180, 365];
/// Below this number the interval is shown with a share.
const FEW: usize = 20;
/// A drop of so much is worth telling.
const DROP: f64 = 0.05;
/// Fewer failures are no trend.
const FAILURES: usize = 3;
/// Chance that a drop is none.
const LUCK: f64 = 0.05;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// Time window, one of [`WINDOWS`].
    pub days: u16,
    /// Of one service.
    pub service: Option<String>,
}

/// What the page of trends shows.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Trends {
    /// How old it is.
    pub data: DataAge,
    /// Days that it looks back.
    pub days: u16,
    /// The service it is about; `None` of all.
    pub service: Option<String>,
    /// Services to choose from.
    pub services: Vec<String>,
    /// Over the whole time.
    pub total: Figures,
    /// Whether release success changed, in words.
    pub change: String,
    /// By week, the oldest first.
    pub weeks: Vec<Week>,
    /// By service, the least successful first.
    pub by_service: Vec<ServiceFigures>,
    /// Jobs with the most bad runs of 30 days.
    pub failing: Vec<Failing>,
    /// Jobs that are flaky or broken.
    pub sick: Vec<Sick>,
    /// How many of these there are.
    pub sick_total: u64,
    /// Where every observation went.
    pub conservation: Conservation,
}

/// A share with what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Share {
    /// The part.
    pub count: usize,
    /// Of so many.
    pub n: usize,
    /// In percent; `None` of nothing.
    pub percent: Option<f64>,
    /// Wilson's 95 % interval in percent.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Whether `n` is so small that the interval has to be looked at.
    pub few: bool,
}

/// Figures of some releases and incidents. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Figures {
    /// Releases that succeeded within the time allowed, of those that are finished.
    pub success: Share,
    /// Releases that succeeded without a second run or a hand.
    pub first_try: Share,
    /// Releases that still have time.
    pub in_flight: usize,
    /// From the begin of a release to its end: median.
    pub lead_p50_s: Option<i64>,
    /// The same: 90 % took no longer.
    pub lead_p90_s: Option<i64>,
    /// Incidents that were told or are to be.
    pub incidents: usize,
    /// Those that are open.
    pub open: usize,
    /// The longest of these has been open for so long.
    pub open_at_least_s: Option<i64>,
    /// From the break to when we saw it: 95 % took no longer.
    pub detection_p95_s: Option<i64>,
    /// From the break to the message: median.
    pub mttd_p50_s: Option<i64>,
    /// The same: 90 % took no longer.
    pub mttd_p90_s: Option<i64>,
    /// The same: mean.
    pub mttd_mean_s: Option<i64>,
    /// From the message to somebody taking it on: median. Nothing tells us so far.
    pub mtta_p50_s: Option<i64>,
    /// From the break to the recovery: median with open ones as censored; `None` while too many are open.
    pub mttr_p50_s: Option<i64>,
    /// Runs started again.
    pub reruns: u64,
    /// Runs that a person stopped.
    pub stopped: u64,
    /// Stages done by hand.
    pub by_hand: u64,
    /// These three together.
    pub interventions: u64,
    /// Share of run time that went into second and later runs, in percent.
    pub retry_tax_percent: Option<f64>,
    /// Green runs that did not do their work.
    pub soft_failed: u64,
    /// Messages for each incident.
    pub messages_per_incident: Option<f64>,
    /// Messages.
    pub messages: u64,
    /// Bad runs that the cluster or Prow failed, of all bad runs.
    pub infra: Share,
    /// Good runs of good and bad ones, as they ended.
    pub runs_passed: Share,
    /// The same without those that the cluster or Prow failed.
    pub runs_passed_without_infra: Share,
}

/// Figures of a service.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ServiceFigures {
    /// Its name.
    pub service: String,
    /// Releases that succeeded.
    pub success: Share,
    /// At the first try.
    pub first_try: Share,
    /// Median of lead times, in seconds.
    pub lead_p50_s: Option<i64>,
    /// 90 % took no longer.
    pub lead_p90_s: Option<i64>,
    /// What people did.
    pub interventions: u64,
    /// Seconds since the last release that was through.
    pub last_good_age_s: Option<i64>,
}

/// Where every observation went: the numbers add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Conservation {
    /// Observations accepted.
    pub accepted: u64,
    /// Those that were decided.
    pub decided: u64,
    /// Those that wait.
    pub waiting: u64,
    /// Those that could not be read and were set aside.
    pub set_aside: u64,
    /// Whether they add up.
    pub holds: bool,
    /// Decisions by word.
    pub decisions: BTreeMap<String, u64>,
}

/// Reads what the page of trends shows.
pub async fn load(shared: &Shared, query: &Query) -> Result<Trends, StoreError> {
    let data = DataAge::of(shared);
    let since = back(data.now, query.days);
    let sla = to_signed(shared.live().snapshot.config.settings.release_sla);
    let store = &shared.store;
    let found = store.ingredients(since, query.service.clone()).await?;
    let (failing, (sick, sick_total)) = failing::load(shared, query, data.now).await?;
    let outcomes = figures::outcomes(&found.releases, data.now, sla);
    let releases: Vec<Judged<'_>> = found.releases.iter().zip(outcomes).collect();
    let whole = Part::whole(&releases, &found);
    Ok(Trends {
        days: query.days,
        service: query.service.clone(),
        services: store.service_names().await?,
        total: Figures::of(whole, data.now),
        change: change(&releases, data.now),
        weeks: week::weeks(whole, since, data.now),
        by_service: by_service(&releases, data.now),
        failing,
        sick,
        sick_total,
        conservation: Conservation::of(&store.counts().await?),
        data,
    })
}

/// So many days before.
pub fn back(now: Timestamp, days: u16) -> Timestamp {
    let span = SignedDuration::from_hours(24 * i64::from(days));
    now.checked_sub(span).unwrap_or(Timestamp::MIN)
}

impl Share {
    /// Of a part of all.
    pub fn of(count: usize, n: usize) -> Self {
        let (low, high) = wilson(count, n);
        Self {
            count,
            n,
            percent: (n > 0).then(|| share(count, n) * 100.0),
            low: low * 100.0,
            high: high * 100.0,
            few: n < FEW,
        }
    }

    fn passed(passed: Passed) -> Self {
        Self::of(passed.good, passed.all)
    }
}

impl Figures {
    fn of(part: Part<'_>, now: Timestamp) -> Self {
        let done = figures::of_releases(part.releases.iter().copied(), now);
        let broken = figures::of_incidents(part.incidents, now);
        let messages = part.messages.iter().map(|(_, count)| count).sum();
        Self::new(&done, &broken, Runs::of(part), messages)
    }

    fn new(done: &ReleaseFigures, broken: &IncidentFigures, runs: Runs, messages: u64) -> Self {
        Self {
            success: Share::passed(done.success()),
            first_try: Share::passed(done.at_first()),
            in_flight: done.in_flight,
            lead_p50_s: done.lead.p50_s,
            lead_p90_s: done.lead.p90_s,
            incidents: broken.incidents,
            open: broken.open,
            open_at_least_s: broken.open_at_least_s,
            detection_p95_s: broken.detection.p95_s,
            mttd_p50_s: broken.detect.p50_s,
            mttd_p90_s: broken.detect.p90_s,
            mttd_mean_s: broken.detect.mean_s,
            mtta_p50_s: broken.acknowledge.p50_s,
            mttr_p50_s: broken.restore_median_s,
            reruns: done.interventions.reruns,
            stopped: done.interventions.stopped,
            by_hand: done.interventions.by_hand,
            interventions: done.interventions.total(),
            retry_tax_percent: ratio(done.retry_s, done.run_s).map(|share| share * 100.0),
            soft_failed: runs.soft,
            messages_per_incident: ratio(messages, broken.incidents as u64),
            messages,
            infra: Share::of(size(runs.infra), size(runs.bad())),
            runs_passed: Share::of(size(runs.passed), size(runs.passed + runs.bad())),
            runs_passed_without_infra: Share::of(
                size(runs.passed),
                size(runs.passed + runs.bad() - runs.infra),
            ),
        }
    }
}

/// Ended runs by how they count.
#[derive(Debug, Clone, Copy, Default)]
struct Runs {
    passed: u64,
    failed: u64,
    infra: u64,
    soft: u64,
}

impl Runs {
    fn of(part: Part<'_>) -> Self {
        use crate::domain::verdict::Verdict;
        let mut runs = Self::default();
        for (_, verdict, count) in part.runs {
            match verdict {
                Verdict::Pass => runs.passed += count,
                Verdict::Fail => runs.failed += count,
                Verdict::Infra => runs.infra += count,
                Verdict::SoftFail => runs.soft += count,
                Verdict::Running
                | Verdict::NoOp
                | Verdict::AbortedByHuman
                | Verdict::Superseded => {}
            }
        }
        runs
    }

    fn bad(self) -> u64 {
        self.failed + self.infra + self.soft
    }
}

impl Conservation {
    /// Of totals.
    pub fn of(counts: &Counts) -> Self {
        let decided = counts.decisions.values().sum();
        Self {
            accepted: counts.accepted,
            decided,
            waiting: counts.inbox,
            set_aside: counts.poisoned,
            holds: counts.accepted == decided + counts.inbox + counts.poisoned,
            decisions: counts
                .decisions
                .iter()
                .map(|(decision, count)| (decision.to_string(), *count))
                .collect(),
        }
    }
}

/// The last 7 days against the 30 before; where less than one release a day is finished, 14 against 60.
fn change(releases: &[Judged<'_>], now: Timestamp) -> String {
    let passed = |from: u16, to: u16| {
        let (from, to) = (back(now, from), back(now, to));
        let inside = releases.iter().filter(|(row, outcome)| {
            row.began_at >= from && row.began_at < to && *outcome != Outcome::InFlight
        });
        let (mut good, mut all) = (0, 0);
        for (_, outcome) in inside {
            all += 1;
            good += usize::from(*outcome == Outcome::Succeeded);
        }
        Passed { good, all }
    };
    let (short, long) = if passed(37, 0).all >= 37 {
        (7, 37)
    } else {
        (14, 74)
    };
    verdict(passed(short, 0), passed(long, short), short, long - short)
}

/// In words, and never more than the numbers bear.
fn verdict(now: Passed, before: Passed, short: u16, long: u16) -> String {
    let rate = |passed: Passed| share(passed.good, passed.all);
    let numbers = format!(
        "{} of {} releases of the last {short} days, {} of {} of the {long} days before",
        now.good, now.all, before.good, before.all
    );
    let turned = |passed: Passed| Passed {
        good: passed.all - passed.good,
        all: passed.all,
    };
    let worse = is_drop(now, before) && fisher_worse(now, before) < LUCK;
    let better = rate(now) - rate(before) >= DROP
        && before.all - before.good >= FAILURES
        && fisher_worse(turned(now), turned(before)) < LUCK;
    if now.all == 0 || before.all == 0 {
        format!("Too few releases to compare: {numbers}.")
    } else if worse {
        format!("Significantly worse: {numbers} succeeded.")
    } else if better {
        format!("Significantly better: {numbers} succeeded.")
    } else {
        format!("No significant change: {numbers} succeeded.")
    }
}

/// Whether there are failures enough and the share fell far enough to look closer.
pub(super) fn is_drop(now: Passed, before: Passed) -> bool {
    now.all - now.good >= FAILURES
        && before.all > 0
        && share(before.good, before.all) - share(now.good, now.all) >= DROP
}

fn by_service(releases: &[Judged<'_>], now: Timestamp) -> Vec<ServiceFigures> {
    let mut services: BTreeMap<&str, Vec<Judged<'_>>> = BTreeMap::new();
    for release in releases {
        services
            .entry(&release.0.service)
            .or_default()
            .push(*release);
    }
    let mut all: Vec<ServiceFigures> = services
        .into_iter()
        .map(|(service, own)| {
            let done = figures::of_releases(own, now);
            ServiceFigures {
                service: service.to_owned(),
                success: Share::passed(done.success()),
                first_try: Share::passed(done.at_first()),
                lead_p50_s: done.lead.p50_s,
                lead_p90_s: done.lead.p90_s,
                interventions: done.interventions.total(),
                last_good_age_s: done
                    .last_good_at
                    .map(|at| now.duration_since(at).as_secs().max(0)),
            }
        })
        .collect();
    all.sort_by(|a, b| {
        let percent = |one: &ServiceFigures| one.success.percent.unwrap_or(101.0);
        percent(a)
            .total_cmp(&percent(b))
            .then_with(|| a.service.cmp(&b.service))
    });
    all
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named_only_when_it_is_one() {
        let passed = |good, all| Passed { good, all };
        for (now, before, says) in [
            (passed(0, 0), passed(9, 9), "Too few"),
            (passed(10, 10), passed(60, 60), "No significant"),
            // Two failures are no trend, however likely.
            (passed(8, 10), passed(60, 60), "No significant"),
            (passed(7, 10), passed(60, 60), "Significantly worse"),
            // The same share as before.
            (passed(7, 10), passed(42, 60), "No significant"),
            (passed(30, 30), passed(30, 60), "Significantly better"),
            (passed(3, 3), passed(50, 60), "No significant"),
        ] {
            let words = verdict(now, before, 7, 30);
            assert!(words.starts_with(says), "{now:?} {before:?}: {words}");
        }
    }

    #[test]
    fn small_numbers_say_that_they_are() {
        let few = Share::of(3, 3);
        assert!(few.few && few.percent == Some(100.0) && few.low < 45.0);
        assert!(!Share::of(19, 20).few);
        assert_eq!(Share::of(0, 0).percent, None);
    }

    #[test]
    fn what_was_accepted_is_accounted_for() {
        use crate::domain::decision::Decision;
        let mut counts = Counts {
            accepted: 10,
            inbox: 2,
            poisoned: 1,
            decisions: [(Decision::Notify, 3), (Decision::NotFailed, 4)].into(),
            ..Counts::default()
        };
        assert!(Conservation::of(&counts).holds);
        counts.accepted = 11;
        assert!(!Conservation::of(&counts).holds);
    }
}
