//! A template is its own template, and bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prow_notifier::evidence::signature::{MAX_TEMPLATE_CHARS, normalise};

fuzz_target!(|line: &str| {
    let template = normalise(line);
    assert!(template.chars().count() <= MAX_TEMPLATE_CHARS);
    assert_eq!(normalise(&template), template);
});
