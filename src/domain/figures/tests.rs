//! A year of 500 releases and 100 incidents, made by simple rules, so that every figure can be worked out on paper:
//! the expected numbers below come from counting remainders, not from the code under test.

use super::*;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const SLA: SignedDuration = SignedDuration::from_hours(24);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Release `i` of ten services in turn begins at `i × 17 h`, and
/// - every 25th (i mod 25 = 7) never ends,
/// - every 20th (i mod 20 = 3) ends a second after its day is over,
/// - all others end after `60 min + i s`;
/// - every 10th (i mod 10 = 4) had two reruns, every 50th (i mod 50 = 9) was stopped once, every 100th
///   (i mod 100 = 11) had its tag pushed by hand and a green run that did not do its work.
fn release(i: i64) -> ReleaseRow {
    let began = i * 17 * HOUR;
    let lead = if i % 20 == 3 { DAY + 1 } else { HOUR + i };
    ReleaseRow {
        service: format!("s{}", i % 10),
        began_at: at(began),
        done_at: (i % 25 != 7).then(|| at(began + lead)),
        reruns: if i % 10 == 4 { 2 } else { 0 },
        stopped: u64::from(i % 50 == 9),
        soft_failed: u64::from(i % 100 == 11),
        hand_made: i % 100 == 11,
        run_s: 1000,
        retry_s: if i % 10 == 4 { 250 } else { 0 },
    }
}

fn year() -> Vec<ReleaseRow> {
    (0..500).map(release).collect()
}

fn figures(rows: &[ReleaseRow], now: Timestamp) -> ReleaseFigures {
    let ends = outcomes(rows, now, SLA);
    of_releases(rows.iter().zip(ends), now)
}

#[test]
fn a_year_of_releases_adds_up_to_the_second() {
    let rows = year();
    let end = at(499 * 17 * HOUR + HOUR + 499);
    let year = figures(&rows, end);
    // 20 of 500 never end (7, 32, ..., 482) and 25 come late (3, 23, ..., 483); the former end in 2 or 7, the latter in
    // 3, so none is both.
    assert_eq!(
        (year.finished, year.succeeded, year.in_flight),
        (500, 455, 0)
    );
    // Reruns hit the numbers that end in 4, stops those in 9, hands those in 1; what never ends ends in 2 or 7, what is
    // late in 3: so all of them are among the 455.
    assert_eq!(year.first_try, 455 - 50 - 10 - 5);
    let by_people = Interventions {
        reruns: 100,
        stopped: 10,
        by_hand: 5,
    };
    assert_eq!(
        (year.interventions, year.interventions.total()),
        (by_people, 115)
    );
    assert_eq!(
        (year.soft_failed, year.run_s, year.retry_s),
        (5, 500_000, 12_500)
    );
    assert_eq!(year.last_good_at, Some(end));
    // 480 are through. Sum of i over all 500: 124,750; of those that never end 20 × 244.5 = 4,890; of the late ones
    // 25 × 243 = 6,075. So (455 × 3,600 + 124,750 - 4,890 - 6,075 + 25 × 86,401) / 480.
    assert_eq!(year.lead.n, 480);
    assert_eq!(
        year.lead.mean_s,
        Some((455 * 3_600 + 113_785 + 2_160_025) / 480)
    );
    // Sorted, the late ones come last. The 240th of the others: among 0..i there are i + 1 - (never) - (late), and up
    // to 263 these are 264 - 11 (7, ..., 257) - 14 (3, ..., 263) = 239; 264 is the 240th.
    assert_eq!(year.lead.p50_s, Some(HOUR + 264));
    // The 432nd: up to 474 there are 475 - 19 (7, ..., 457) - 24 (3, ..., 463) = 432.
    assert_eq!(year.lead.p90_s, Some(HOUR + 474));
    // The 456th is the first of the late ones.
    assert_eq!(year.lead.p95_s, Some(DAY + 1));
}

#[test]
fn a_release_counts_once_its_end_is_known() {
    let rows = year();
    let outcome = |i: usize, now: i64| outcomes(&rows, at(now), SLA)[i];
    let began = 7 * 17 * HOUR;
    // It may come until its day is over, then it is abandoned.
    assert_eq!(outcome(7, began + 1), Outcome::InFlight);
    assert_eq!(outcome(7, began + DAY), Outcome::InFlight);
    assert_eq!(outcome(7, began + DAY + 1), Outcome::Failed);
    // What is through later than the moment asked for is not through.
    assert_eq!(outcome(0, HOUR - 1), Outcome::InFlight);
    assert_eq!(outcome(0, HOUR), Outcome::Succeeded);
    assert_eq!(outcome(3, 3 * 17 * HOUR + DAY + 1), Outcome::Failed);
    // A newer version of its service ends its time at once; one of another service does not.
    let mut newer = release(7);
    newer.began_at = at(began + 60);
    let mut other = newer.clone();
    other.service = "s1".to_owned();
    let of = |next: ReleaseRow| outcomes(&[release(7), next], at(began + 61), SLA)[0];
    assert_eq!((of(newer), of(other)), (Outcome::Failed, Outcome::InFlight));
}

/// Incident `i` breaks at `i` days, is seen 10 s later and told 20 s + `i` s later (every tenth never), and is good
/// again after `(i + 1)` minutes; the last 30 are open.
fn incident(i: i64) -> IncidentRow {
    let broke = i * DAY;
    IncidentRow {
        broke_at: at(broke),
        seen_at: Some(at(broke + 10)),
        notified_at: (i % 10 != 0).then(|| at(broke + 20 + i)),
        acknowledged_at: None,
        restored_at: (i < 70).then(|| at(broke + (i + 1) * 60)),
    }
}

#[test]
fn a_hundred_incidents_add_up_to_the_second() {
    let rows: Vec<IncidentRow> = (0..100).map(incident).collect();
    let year = of_incidents(&rows, at(100 * DAY));
    assert_eq!((year.incidents, year.open), (100, 30));
    assert_eq!(year.open_at_least_s, Some(30 * DAY));
    assert_eq!(
        (year.detection.p50_s, year.detection.p95_s),
        (Some(10), Some(10))
    );
    // Told: 1..=9, 11..=19, ...: 90 of them; the 45th is 49, the 81st is 89, the sum of all is 4,950 - 450.
    assert_eq!((year.detect.n, year.detect.mean_s), (90, Some(20 + 50)));
    assert_eq!(
        (year.detect.p50_s, year.detect.p90_s),
        (Some(20 + 49), Some(20 + 89))
    );
    assert_eq!(year.acknowledge, Spread::default());
    // All open ones outlast the others, so half are over when the 50th is: after 50 minutes, and not after 35, as it
    // would seem if open ones were left out.
    assert_eq!(year.restore_median_s, Some(50 * 60));
    assert_eq!((year.restored.n, year.restored.p50_s), (70, Some(35 * 60)));
}

#[test]
fn while_most_are_open_nobody_knows_how_long_it_takes() {
    let rows: Vec<IncidentRow> = (60..100).map(incident).collect();
    let figures = of_incidents(&rows, at(100 * DAY));
    assert_eq!((figures.open, figures.restore_median_s), (30, None));
}

#[test]
fn of_nothing_there_are_no_figures() {
    assert_eq!(figures(&[], at(0)), ReleaseFigures::default());
    assert_eq!(of_incidents(&[], at(0)), IncidentFigures::default());
}
