//! The rules that every installation has. Patterns see the bytes of one cleaned line; heavier ones name a
//! cause more exactly. Each rule has a line that it finds, and one like it that it must not find, in the tests.

mod code;
mod job;
mod machine;
mod remote;
mod vague;

use crate::domain::evidence::CauseClass;

/// A rule as written down here.
#[derive(Debug)]
pub struct Builtin {
    /// Shown with what it found.
    pub name: &'static str,
    /// See [`super::LogRule::weight`].
    pub weight: u32,
    /// What kind of cause.
    pub class: CauseClass,
    /// Whether upper and lower case are the same.
    pub any_case: bool,
    /// Any of them.
    pub patterns: &'static [&'static str],
}

/// All of them. Of equally heavy ones, the earlier goes before.
pub fn builtin() -> impl Iterator<Item = &'static Builtin> + Clone {
    [
        machine::RULES,
        remote::RULES,
        code::RULES,
        job::RULES,
        vague::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Any of several patterns.
pub(super) fn any_of(patterns: &[&str], any_case: bool) -> String {
    let flag = if any_case { "(?i)" } else { "" };
    format!("{flag}(?:{})", patterns.join("|"))
}

/// Rules that noise does not weaken: what they match is said in such words.
pub(super) const LOUD: &[&str] = &[
    "data-race",
    "prow-timeout",
    "interrupted",
    "out-of-memory",
    "disk-full",
];

/// Prow ended the job; what failed before was not its end, and what failed after is a consequence.
pub(super) const FINAL: &[&str] = &["prow-timeout", "interrupted"];

/// Whether a line says that there will be no other try.
pub(super) fn gave_up(line: &[u8]) -> bool {
    const ENDS: [&[u8]; 6] = [
        b"giving up",
        b"gave up",
        b"exhausted",
        b"no more ",
        b"exceeded",
        b"not retrying",
    ];
    let line = line.to_ascii_lowercase();
    ENDS.iter()
        .any(|end| memchr::memmem::find(&line, end).is_some())
}
