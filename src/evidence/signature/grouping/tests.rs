//! Grouping is right, and bounded whatever comes.

use proptest::prelude::*;

use super::*;

const CLASS: CauseClass = CauseClass::Network;

/// A line that shares nothing with another but its form.
fn unique(number: u64) -> String {
    let word = |salt: u64| {
        let mut state = number
            .wrapping_add(salt)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut letters = String::new();
        for _ in 0..12 {
            state ^= state >> 29;
            state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            letters.push(char::from(b'a' + u8::try_from(state >> 59).unwrap() % 26));
        }
        letters
    };
    format!("{} {} {} {}", word(1), word(2), word(3), word(4))
}

#[test]
fn a_few_letters_make_no_new_cause() {
    let mut seen = Signatures::default();
    let one = seen.canonical(
        CLASS,
        "cannot reach the mirror of the registry for payments, it is away",
        1,
    );
    let other = seen.canonical(
        CLASS,
        "cannot reach the mirror of the registry for payment, it is away",
        1,
    );
    assert_eq!(one, other);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen.template(&one).unwrap().split(' ').count(), 12);
}

#[test]
fn codes_and_names_make_a_new_cause() {
    let mut seen = Signatures::default();
    for line in [
        "received unexpected HTTP status: 502 Bad Gateway from the far registry",
        "received unexpected HTTP status: 503 Bad Gateway from the far registry",
        "scripts/lib/release.sh in the release of the chart: GITHUB_TOKEN is unbound",
        "scripts/lib/release.sh in the release of the chart: GITLAB_TOKEN is unbound",
        "the pull request cannot be created because RequireReviews protects the branch",
        "the pull request cannot be created because RequireRebases protects the branch",
    ] {
        seen.canonical(CLASS, line, 1);
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn an_endless_stream_of_new_errors_stays_bounded() {
    let mut seen = Signatures::default();
    let mut given = std::collections::BTreeSet::new();
    for number in 0..100_000 {
        // Normalising is measured elsewhere; what is counted here is what remembering costs.
        given.insert(seen.canonical_of(CLASS, &unique(number), 7));
    }
    assert_eq!(given.len(), NEW_A_DAY as usize + 1);
    assert!(given.contains(&Signatures::overflow(CLASS)));
    assert_eq!(seen.len(), NEW_A_DAY as usize);
    assert_eq!(seen.overflowed(), 100_000 - u64::from(NEW_A_DAY));
    let group = &seen.classes[&CLASS];
    assert_eq!(group.searches, SEARCHES_A_DAY);
    for day in 8..11 {
        (0..201).for_each(|number| {
            seen.canonical_of(
                CLASS,
                &unique(1_000_000 * u64::try_from(day).unwrap() + number),
                day,
            );
        });
    }
    assert_eq!(seen.len(), MAX_KNOWN);
}

#[test]
fn one_search_computes_few_distances() {
    let known: Vec<String> = (0..400)
        .map(|n| {
            format!(
                "the very same long line of words about a failure, but for the end {}",
                unique(n).get(..4).unwrap()
            )
        })
        .collect();
    let pairs = known.iter().map(|line| (line, line.as_str()));
    let (found, work) = search(
        "the very same long line of words about a failure, but for the end of it",
        pairs,
    );
    assert!(found.is_some());
    assert_eq!(work.exact, EXACT_CHECKS);
    assert!(work.bounds <= known.len());
}

#[test]
fn a_known_cause_is_known_also_on_a_day_of_overflow_and_after_a_restart() {
    let mut seen = Signatures::default();
    let first = seen.canonical_of(CLASS, &unique(1), 1);
    (10..2_000).for_each(|number| {
        seen.canonical_of(CLASS, &unique(number), 1);
    });
    let json = serde_json::to_string(&seen).unwrap();
    let mut seen: Signatures = serde_json::from_str(&json).unwrap();
    assert_eq!(seen.canonical_of(CLASS, &unique(1), 1), first);
    assert_eq!(
        seen.canonical_of(CLASS, &unique(5), 1),
        Signatures::overflow(CLASS)
    );
    assert_ne!(
        seen.canonical_of(CLASS, &unique(5), 2),
        Signatures::overflow(CLASS)
    );
}

/// The whole table, for comparison.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

proptest! {
    #[test]
    fn the_band_finds_the_distance(a in "[ab]{0,30}", b in "[ab]{0,30}", most in 0..20_usize) {
        let exact = distance(a.as_bytes(), b.as_bytes());
        let expected = (exact <= most).then_some(exact);
        prop_assert_eq!(edits_within(a.as_bytes(), b.as_bytes(), most), expected);
    }

    #[test]
    fn the_bound_is_never_above_the_distance(a in "[abc]{0,60}", b in "[abc]{0,60}") {
        let bound = Grams::of(&a).distance(&Grams::of(&b)) / L1_PER_EDIT;
        prop_assert!(bound <= distance(a.as_bytes(), b.as_bytes()));
    }
}
