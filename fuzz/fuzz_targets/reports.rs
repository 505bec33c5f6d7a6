//! Whatever lies beside a log - JSON, JUnit's XML, in any state - is read to a finding, or said to be unreadable.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use prow_notifier::{
    domain::evidence::{Finding, MAX_EXCERPT_LINES},
    evidence::{Remains, examine, redact::Redactor, rules::LogRules},
};

static RULES: LazyLock<LogRules> = LazyLock::new(LogRules::builtin);
static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::default);

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, rest)) = bytes.split_first() else {
        return;
    };
    let file = Some(rest.to_vec());
    let mut remains = Remains::default();
    match which % 5 {
        0 => remains.finished = file,
        1 => remains.podinfo = file,
        2 => remains.clone_records = file,
        3 => remains.junit = vec![("artifacts/junit_fuzz.xml".to_owned(), rest.to_vec())],
        _ => remains.description = String::from_utf8_lossy(rest).into_owned(),
    }
    let examined = examine(&remains, &RULES, &REDACTOR);
    if let Finding::Found(evidence) = examined.finding {
        assert!(!evidence.headline.is_empty());
        if let Some(excerpt) = evidence.excerpt {
            assert!(excerpt.lines.len() <= MAX_EXCERPT_LINES);
            assert!(excerpt.deciding_line().is_some());
        }
    }
});
