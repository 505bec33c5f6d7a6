//! Logs: text on a terminal, JSON lines otherwise, always on stderr because stdout is for data.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write, stderr},
};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging at `level` unless `RUST_LOG` says otherwise. Called once, by the program.
pub fn start(level: &str) {
    let filter = EnvFilter::builder()
        .with_default_directive(level.parse().unwrap_or_default())
        .from_env_lossy();
    // Each attempt at a bucket would be a line of its own, beside ours that says what came of them.
    let filter = match "object_store::client::retry=error".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    };
    let registry = tracing_subscriber::registry().with(filter);
    if stderr().is_terminal() {
        registry
            .with(fmt::layer().with_writer(log).with_target(false))
            .init();
    } else {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(log))
            .init();
    }
}

/// The first 200 characters of a name from outside, which is as much as a line of the log has room for.
pub fn short(text: &str) -> &str {
    text.char_indices()
        .nth(200)
        .and_then(|(end, _)| text.get(..end))
        .unwrap_or(text)
}

fn log() -> Shown<io::Stderr> {
    Shown(stderr())
}

/// Writes characters of outside text that a terminal obeys or that turn the direction of a line as `\u`
/// escapes, which in JSON means the same. The formatters themselves escape the control characters of ASCII
/// and none beyond.
#[derive(Debug)]
struct Shown<W>(W);

impl<W: Write> Write for Shown<W> {
    /// Whole entries come at once, so no character is ever cut.
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(entry) {
            Ok(text) if text.chars().any(is_obeyed) => self.0.write_all(shown(text).as_bytes())?,
            Ok(_) | Err(_) => self.0.write_all(entry)?,
        }
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_obeyed(c) {
            // All of them are in the basic plane, so one unit is enough.
            write!(shown, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail");
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Control characters beyond ASCII, breaks of lines, and those that turn the direction of text.
fn is_obeyed(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_means_the_same_in_json() {
        let evil = "gp\u{202e}fdp\u{9b}31m\u{2028}🔥é";
        let entry = serde_json::json!({ "message": evil }).to_string();
        let mut written = Shown(Vec::new());
        written.write_all(entry.as_bytes()).unwrap();
        let written = String::from_utf8(written.0).unwrap();
        assert!(
            written.contains(r"gp\u202efdp\u009b31m\u2028🔥é"),
            "{written}"
        );
        let read: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert_eq!(read["message"], evil);
    }

    #[test]
    fn the_colours_of_the_formatter_are_left_alone() {
        let mut written = Shown(Vec::new());
        written
            .write_all("\u{1b}[32mINFO\u{1b}[0m\n".as_bytes())
            .unwrap();
        assert_eq!(written.0, "\u{1b}[32mINFO\u{1b}[0m\n".as_bytes());
    }
}
