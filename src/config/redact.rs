//! The list `redact`: patterns of what is secret here and nowhere else. Each entry is a regular expression,
//! or one with a name.

use regex::{Regex, RegexBuilder};

use super::{
    error::{Place, Problem},
    yaml::{Kind, Node},
};
use crate::evidence::redact::OwnPattern;

/// Keys of an entry with a name.
pub const REDACT_KEYS: [&str; 2] = ["pattern", "name"];
/// Bytes of one compiled pattern; a pattern beyond it has counted repetitions within each other.
const LARGEST: usize = 1 << 20;

/// Reads one entry.
pub(super) fn read(node: &Node) -> Result<OwnPattern, Problem> {
    if let Kind::Text(pattern) = &node.kind {
        let regex = compile(pattern, &node.place)?;
        return Ok(OwnPattern {
            name: pattern.clone(),
            regex,
        });
    }
    let (mut name, mut regex) = (None, None);
    for (key, _, value) in node.entries("a redact entry", &REDACT_KEYS)? {
        let text = value.text(key)?;
        match key.as_str() {
            "name" => name = Some(text.to_owned()),
            _ => regex = Some(compile(text, &value.place)?),
        }
    }
    let regex = regex.ok_or_else(|| {
        Problem::at(
            node.place.clone(),
            "a redact entry needs a pattern",
            "add `pattern: ...`, a regular expression",
        )
    })?;
    Ok(OwnPattern {
        name: name.unwrap_or_else(|| regex.as_str().to_owned()),
        regex,
    })
}

fn compile(pattern: &str, place: &Place) -> Result<Regex, Problem> {
    let regex = RegexBuilder::new(pattern)
        .size_limit(LARGEST)
        .build()
        .map_err(|error| {
            Problem::at(
                place.clone(),
                format!(
                    "`{pattern}` is not a regular expression: {}",
                    reason(&error)
                ),
                "Rust's syntax, without look-around: https://docs.rs/regex/latest/regex/#syntax",
            )
        })?;
    if takes_everything(&regex) {
        return Err(Problem::at(
            place.clone(),
            format!("`{pattern}` matches everything, so no message could give a reason"),
            "describe what only the secret looks like",
        ));
    }
    Ok(regex)
}

/// The last line of the error, without the drawing above it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().next_back().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Whether it matches nothing, which is everywhere, or leaves nothing of lines that have nothing in common.
fn takes_everything(regex: &Regex) -> bool {
    const UNLIKE: [&str; 3] = [
        "make: *** [Makefile:55: build] Error 2",
        "denied",
        "pkg/a.go:1:2: undefined: x.Y",
    ];
    regex.is_match("")
        || UNLIKE
            .iter()
            .all(|line| regex.replace_all(line, "").trim().is_empty())
}
