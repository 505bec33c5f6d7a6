//! A log as a terminal would have shown it in the end: colours, progress bars and control characters gone,
//! lines cut to a bearable length. Line numbers stay those of the file.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use regex::bytes::Regex;

/// What is looked at of a line when rules are tried, in bytes. Lines beyond are data, not messages.
pub const MATCHED_BYTES: usize = 4_000;
/// What is kept of a line, in characters.
pub const KEPT_CHARS: usize = 500;

/// Stamps of one line that are dropped: a kubelet's before a tool's before a script's.
const MOST_STAMPS: usize = 3;

/// Times and counters that runners and tools put before what they say.
static STAMP: LazyLock<Regex> = LazyLock::new(|| {
    let stamps = [
        r"\[?\d{4}[-/]\d\d[-/]\d\d[T _]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[ ]?[-+]\d\d:?\d\d)?\]?",
        r"\[?\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?\]?",
        r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2} \d\d:\d\d:\d\d(?: [A-Z]{3,4})?(?: \d{4})?",
        r"(?:#\d+ )?\d+\.\d{1,3}",
        r"\[ *\d+(?:\.\d+s?|s)\]",
        r"\d{10}\.\d{1,9}",
    ];
    let pattern = format!(r"(?-u)^(?:{})(?: ?[-|:])?[ \t]", stamps.join("|"));
    Regex::new(&pattern).expect("a fixed pattern that tests compile")
});

/// One line as a terminal shows it in the end, whole; no control, bidirectional or invisible characters.
pub fn line(raw: &[u8]) -> String {
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    let text = String::from_utf8_lossy(raw);
    if needs_terminal(raw) {
        Terminal::default().show(&text)
    } else {
        text.into_owned()
    }
}

/// A line without the times before it.
pub fn without_stamps(mut line: &[u8]) -> &[u8] {
    for _ in 0..MOST_STAMPS {
        // Most lines begin with something else, and then no automaton is needed.
        let Some(b'0'..=b'9' | b'[' | b'#' | b'A'..=b'Z') = line.first() else {
            return line;
        };
        match STAMP.find(line).and_then(|found| line.get(found.end()..)) {
            Some(rest) => line = rest,
            None => return line,
        }
    }
    line
}

/// [`without_stamps`] for text.
pub fn text_without_stamps(line: &str) -> &str {
    let kept = without_stamps(line.as_bytes()).len();
    // Stamps are ASCII, so that the rest begins at a character.
    line.get(line.len() - kept..).unwrap_or(line)
}

/// What rules see of a line that [`block`] has cleaned.
pub fn matched(line: &[u8]) -> &[u8] {
    line.get(..MATCHED_BYTES).unwrap_or(line)
}

/// Many lines at once, each ready to be matched. As many lines as before, so that counting them gives their
/// numbers; as it was when there is nothing to clean.
pub fn block(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut cleaned: Option<Vec<u8>> = None;
    for range in line_ranges(raw) {
        let before = raw.get(range.clone()).unwrap_or_default();
        let after = for_matching(before);
        match &mut cleaned {
            Some(cleaned) => {
                cleaned.extend_from_slice(&after);
                cleaned.push(b'\n');
            }
            None if after.len() == before.len() && matches!(after, Cow::Borrowed(_)) => {}
            None => {
                let mut begun = Vec::with_capacity(raw.len() + 1);
                begun.extend_from_slice(raw.get(..range.start).unwrap_or_default());
                begun.extend_from_slice(&after);
                begun.push(b'\n');
                cleaned = Some(begun);
            }
        }
    }
    match cleaned {
        Some(mut cleaned) => {
            // Every line got a newline; the last one may have had none.
            if raw.last() != Some(&b'\n') {
                cleaned.pop();
            }
            Cow::Owned(cleaned)
        }
        None => Cow::Borrowed(raw),
    }
}

fn for_matching(raw: &[u8]) -> Cow<'_, [u8]> {
    let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
    if needs_terminal(raw) {
        let shown = line(raw);
        Cow::Owned(without_stamps(shown.as_bytes()).to_vec())
    } else {
        Cow::Borrowed(without_stamps(raw))
    }
}

/// Where the lines are, without their newlines. A newline at the end begins no further line.
pub fn line_ranges(raw: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = raw.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let range = start..start + length;
        start = range.end + 1;
        Some(range)
    })
}

/// At most [`KEPT_CHARS`] characters; see [`cut`].
pub fn kept(text: &str) -> String {
    cut(text, KEPT_CHARS)
}

/// At most so many characters. A cut is made between words and never within one, because half a secret is no
/// longer recognised as one.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most || text.chars().count() <= most {
        return text.to_owned();
    }
    let end = text
        .char_indices()
        .nth(most.saturating_sub(1))
        .map_or(text.len(), |(index, _)| index);
    let head = text.get(..end).unwrap_or_default();
    let words = head
        .rfind(char::is_whitespace)
        .and_then(|end| head.get(..=end));
    format!("{}…", words.unwrap_or_default())
}

/// Whether a line holds anything that a terminal would not simply print.
fn needs_terminal(raw: &[u8]) -> bool {
    let odd = raw
        .iter()
        .any(|&byte| byte != b'\t' && !(b' '..0x7f).contains(&byte));
    odd && (raw.iter().any(|&byte| byte < b' ' && byte != b'\t')
        || String::from_utf8_lossy(raw).chars().any(is_dropped))
}

/// Control characters but the tab, and those that change direction, join, or take no room: they hide what a
/// line says.
fn is_dropped(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// One row of a terminal, as wide as needed.
#[derive(Default)]
struct Terminal {
    cells: Vec<char>,
    cursor: usize,
}

impl Terminal {
    fn show(mut self, text: &str) -> String {
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                '\r' => self.cursor = 0,
                '\u{8}' => self.cursor = self.cursor.saturating_sub(1),
                '\u{1b}' => self.escape(&mut chars),
                // The one-character form of `ESC [`.
                '\u{9b}' => self.control(&mut chars),
                c if is_dropped(c) => {}
                c => self.put(c),
            }
        }
        let text: String = self.cells.into_iter().collect();
        let length = text.trim_end_matches(' ').len();
        text.get(..length).unwrap_or_default().to_owned()
    }

    fn put(&mut self, c: char) {
        match self.cells.get_mut(self.cursor) {
            Some(cell) => *cell = c,
            None => self.cells.push(c),
        }
        self.cursor += 1;
    }

    /// What follows an escape: a control sequence, a command with text up to its end, or one letter.
    fn escape(&mut self, chars: &mut std::str::Chars<'_>) {
        let ahead = chars.clone();
        match chars.next() {
            Some('[') => self.control(chars),
            Some(']' | 'P' | 'X' | '^' | '_') => {
                // An unfinished one is taken for text, or it would swallow the line.
                let mut inside = chars.clone();
                while let Some(c) = inside.next() {
                    if c == '\u{7}' || c == '\u{9c}' {
                        *chars = inside;
                        return;
                    }
                    if c == '\u{1b}' {
                        if inside.clone().next() == Some('\\') {
                            inside.next();
                        }
                        *chars = inside;
                        return;
                    }
                }
            }
            Some('(' | ')' | '*' | '+') => {
                chars.next();
            }
            Some(c) if c.is_ascii_graphic() => {}
            Some(_) | None => *chars = ahead,
        }
    }

    /// `ESC [ parameters letter`; those that erase or move within the row are obeyed.
    fn control(&mut self, chars: &mut std::str::Chars<'_>) {
        let mut parameter = String::new();
        loop {
            let ahead = chars.clone();
            let Some(c) = chars.next() else { return };
            match c {
                '0'..='?' => parameter.push(c),
                ' '..='/' => {}
                'K' => return self.erase(&parameter),
                'G' => {
                    let column: usize = parameter.parse().unwrap_or(1);
                    self.cursor = column.saturating_sub(1).min(self.cells.len());
                    return;
                }
                'D' => {
                    let by: usize = parameter.parse().unwrap_or(1);
                    self.cursor = self.cursor.saturating_sub(by);
                    return;
                }
                '@'..='~' => return,
                _ => {
                    *chars = ahead;
                    return;
                }
            }
        }
    }

    fn erase(&mut self, parameter: &str) {
        match parameter {
            "" | "0" => self.cells.truncate(self.cursor),
            "1" => {
                let end = self.cells.len().min(self.cursor + 1);
                self.cells.iter_mut().take(end).for_each(|cell| *cell = ' ');
            }
            _ => self.cells.iter_mut().for_each(|cell| *cell = ' '),
        }
    }
}

#[cfg(test)]
mod tests;
