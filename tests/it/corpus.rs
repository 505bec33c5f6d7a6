//! How well the reading of logs does on logs with known causes. Rules are tuned on one half of them; the
//! figures that count are those of the other half. `cargo test --test it corpus -- --nocapture` prints both.

use std::{
    fmt::{self, Write as _},
    fs,
};

use prow_notifier::{
    domain::evidence::{CauseClass, Signature},
    evidence::{
        LogText,
        excerpt::{Reading, read_log},
        rules::LogRules,
        signature::signature,
    },
};
use serde::Deserialize;

use crate::program::repository;

const FOLDER: &str = "tests/data/corpus";

#[derive(Debug, Deserialize)]
struct Case {
    file: String,
    half: String,
    deciding_line: u64,
    class: String,
    group: String,
}

/// A case and what was made of it.
struct Outcome {
    case: Case,
    reading: Reading,
    /// None where no rule decided: such logs share no cause.
    signature: Option<Signature>,
}

impl Outcome {
    fn in_excerpt(&self) -> bool {
        let mut lines = self.reading.lines.iter();
        lines.any(|line| line.number == Some(self.case.deciding_line))
    }

    fn decides(&self) -> bool {
        self.reading.lines[self.reading.deciding].number == Some(self.case.deciding_line)
    }

    fn right_class(&self) -> bool {
        self.reading.class.as_str() == self.case.class
    }
}

struct Figures {
    cases: usize,
    in_excerpt: f64,
    decides: f64,
    right_class: f64,
    precision: f64,
    recall: f64,
    unclassified: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} cases: deciding line in the excerpt {:.1} % (and chosen {:.1} %), right class {:.1} %, signatures: precision {:.3}, \
             recall {:.3}; unclassified {:.1} %",
            self.cases,
            self.in_excerpt * 100.0,
            self.decides * 100.0,
            self.right_class * 100.0,
            self.precision,
            self.recall,
            self.unclassified * 100.0
        )
    }
}

fn outcomes(half: &str) -> Vec<Outcome> {
    let cases = fs::read_to_string(repository(FOLDER).join("cases.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
    let rules = LogRules::builtin();
    let read = |case: Case| {
        assert!(CauseClass::parse(&case.class).is_some(), "{case:?}");
        let log = LogText {
            bytes: fs::read(repository(FOLDER).join(&case.file)).unwrap(),
            file: case.file.clone(),
            first_line: Some(1),
            starts_line: true,
        };
        let reading = read_log(&log, &rules).unwrap();
        let decided = reading.rule.is_some();
        let signature = decided.then(|| signature(reading.class, &reading.whole_line));
        Outcome {
            case,
            reading,
            signature,
        }
    };
    let cases = cases.into_iter().filter(|case| case.half == half);
    cases.map(read).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand pairs")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Of all pairs of cases: how many that have one signature belong together, and the reverse.
fn pairs(outcomes: &[Outcome]) -> (f64, f64) {
    let (mut same, mut merged, mut rightly) = (0, 0, 0);
    for (index, a) in outcomes.iter().enumerate() {
        for b in &outcomes[index + 1..] {
            let (belong, merge) = (
                a.case.group == b.case.group,
                a.signature.is_some() && a.signature == b.signature,
            );
            same += usize::from(belong);
            merged += usize::from(merge);
            rightly += usize::from(belong && merge);
        }
    }
    (share(rightly, merged), share(rightly, same))
}

fn figures(outcomes: &[Outcome]) -> Figures {
    let count = |is: &dyn Fn(&Outcome) -> bool| {
        let found = outcomes.iter().filter(|outcome| is(outcome)).count();
        share(found, outcomes.len())
    };
    let (precision, recall) = pairs(outcomes);
    Figures {
        cases: outcomes.len(),
        in_excerpt: count(&Outcome::in_excerpt),
        decides: count(&Outcome::decides),
        right_class: count(&Outcome::right_class),
        precision,
        recall,
        unclassified: count(&|outcome| outcome.reading.class == CauseClass::Unclassified),
    }
}

/// What went wrong with the half that may be looked at.
fn misses(outcomes: &[Outcome]) -> String {
    let mut said = String::new();
    for outcome in outcomes {
        let (case, reading) = (&outcome.case, &outcome.reading);
        if outcome.right_class() && outcome.decides() {
            continue;
        }
        let line = &reading.lines[reading.deciding];
        let missing = if outcome.in_excerpt() {
            ""
        } else {
            ", not in the excerpt"
        };
        let (wanted, class) = (&case.class, reading.class);
        let at = format!("{}:{}", case.file, case.deciding_line);
        writeln!(
            said,
            "{at} is {wanted}{missing}; read {line:?} as {class} by {:?}",
            reading.rule
        )
        .unwrap();
    }
    for (index, a) in outcomes.iter().enumerate() {
        for b in &outcomes[index + 1..] {
            let merge = a.signature.is_some() && a.signature == b.signature;
            if merge != (a.case.group == b.case.group) {
                let what = if merge { "wrongly one" } else { "apart" };
                writeln!(said, "{what}: {} and {}", a.case.file, b.case.file).unwrap();
            }
        }
    }
    said
}

#[test]
fn the_reason_is_found_in_logs_with_known_causes() {
    let tuned = outcomes("tune");
    print!("{}", misses(&tuned));
    println!("tune:   {}", figures(&tuned));
    let figures = figures(&outcomes("figure"));
    println!("figure: {figures}");
    assert!(figures.cases >= 60);
    assert!(figures.in_excerpt >= 0.90);
    assert!(figures.right_class >= 0.90);
    assert!(figures.precision >= 0.98);
    assert!(figures.recall >= 0.90);
    assert!(figures.unclassified < 0.10);
}
