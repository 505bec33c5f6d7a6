//! Printing: data on stdout, talk on stderr, colour only where a person looks.

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};

/// Something bad.
pub const RED: Style = AnsiColor::Red.on_default().bold();
/// Something good.
pub const GREEN: Style = AnsiColor::Green.on_default();
/// Something to notice.
pub const YELLOW: Style = AnsiColor::Yellow.on_default();
/// A headline.
pub const BOLD: Style = Style::new().bold();
/// Less important.
pub const DIM: Style = Style::new().dimmed();

/// Text in a style; the style is dropped where nobody sees colour.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// One line of data.
pub fn line(text: &str) {
    println!("{text}");
}

/// One line of talk.
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// An error with its causes.
pub fn error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    eprintln!("{} {}", styled(RED, "error:"), printable(&text));
}

/// Text from outside, safe for a terminal: control characters but line breaks and tabs are shown, not
/// obeyed.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control()
                || ('\u{202A}'..='\u{202E}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                '\u{FFFD}'
            }
            c => c,
        })
        .collect()
}
