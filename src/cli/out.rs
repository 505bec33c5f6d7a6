//! Printing: data on stdout, talk on stderr, colour only where a person looks.

use std::{
    fmt::Arguments,
    io::{ErrorKind, IsTerminal as _, Write as _},
};

use anstream::ColorChoice;
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

/// An address behind a label where a terminal can show that, else the address itself: one of thousands of characters
/// would fill a screen, and a file or pipe wants it whole.
pub fn link(url: &str, label: &str) -> String {
    let stdout = std::io::stdout();
    if stdout.is_terminal() && anstream::AutoStream::choice(&stdout) != ColorChoice::Never {
        // OSC 8, https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda
        format!("\x1b]8;;{url}\x1b\\{label}\x1b]8;;\x1b\\")
    } else {
        url.to_owned()
    }
}

/// One line of data.
pub fn line(text: &str) {
    print(format_args!("{text}\n"));
}

/// One line of talk.
pub fn say(text: &str) {
    tell(format_args!("{text}\n"));
}

/// An error with its causes, each said once.
pub fn error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !says(&text, &cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    complain(&text);
}

/// Whether the text has what a cause says; its last words are what says it, as in `Error code 14: unable to open`.
fn says(text: &str, cause: &str) -> bool {
    let last = cause.rsplit(": ").next().unwrap_or_default();
    text.contains(cause) || (last.contains(' ') && text.contains(last))
}

fn complain(text: &str) {
    tell(format_args!(
        "{} {}\n",
        styled(RED, "error:"),
        printable(text)
    ));
}

/// Who does not read on has seen enough. On a disk that is full the rest would be missed by somebody.
fn print(text: Arguments<'_>) {
    match anstream::stdout().write_fmt(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("cannot write the output: {error}"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Where even this cannot be written, nobody can be told.
fn tell(text: Arguments<'_>) {
    drop(anstream::stderr().write_fmt(text));
}

/// A number of things, in words.
pub fn count(number: u64, one: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {one}{end}")
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
