//! Any bytes are read as a log, within bounds. The first byte says how the log begins.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prow_notifier::{
    domain::evidence::MAX_EXCERPT_LINES,
    evidence::{LogText, clean::KEPT_CHARS, excerpt::read_log, rules::LogRules},
};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else {
        return;
    };
    let log = LogText {
        file: "build-log.txt".to_owned(),
        bytes: rest.to_vec(),
        first_line: (first & 1 == 1).then_some(1),
        starts_line: first & 2 == 2,
    };
    if let Some(reading) = read_log(&log, &LogRules::builtin()) {
        assert!(reading.lines.len() <= MAX_EXCERPT_LINES);
        assert!(reading.deciding < reading.lines.len());
        for line in &reading.lines {
            assert!(line.text.chars().count() <= KEPT_CHARS);
        }
    }
});
