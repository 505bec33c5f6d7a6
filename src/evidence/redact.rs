//! Takes secrets out of what a run left behind, before anything is cut, stored or shown. Only a
//! [`Redacted`] can be cut to a headline or an excerpt, and only a [`Redactor`] makes one, from whole lines:
//! no cut can go through a secret and leave half of it.

mod blocks;
mod keyed;
mod shapes;
mod values;

use std::sync::LazyLock;

use regex::Regex;

use super::LogText;
use crate::domain::evidence::{Excerpt, LogLine, MAX_EXCERPT_LINES};

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";
/// Characters of a headline.
pub const MAX_HEADLINE: usize = 300;
/// Characters of a line of an excerpt.
pub const MAX_LINE: usize = 500;
/// Bytes of a line that are looked at; what lies behind is left out. No person reads on, and no rule needs
/// more.
const LONGEST_LINE: usize = 16 * 1024;

/// A pattern of the operator's own. What it matches is taken out.
#[derive(Debug, Clone)]
pub struct OwnPattern {
    /// For people; the pattern itself when it has no other.
    pub name: String,
    /// Looked for in each line.
    pub regex: Regex,
}

/// Finds secrets by their looks, by the keys before them, and by the operator's patterns.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    own: Vec<OwnPattern>,
}

/// Lines without secrets, as many as there were before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redacted {
    lines: Vec<String>,
}

/// A line that still changes after so many rounds is taken out whole.
const MAX_ROUNDS: usize = 16;
/// A line without any of these has nothing for the built-in patterns.
static TRIGGER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"(?i)://|key|token|secret|pass|pwd|auth|cred|bearer|basic|sig|cookie|[?&;]|hmac|dsn|webhook|hooks|gh[pousr]_|github_pat|gl[a-z]+-|xox|xapp|aiza|ya29|1//0|gocspx|akia|asia|iqojb3|fwogz|fqogz|npm_|pypi-|rubygems|oy2|hv[sbr]\.|[sb]\.[a-z0-9]{24}|[srp]k_|sk[-0-9a-f]|sg\.|xkeysib|do[opr]_v1|atlasv1|sq[upa]_|dckr_|dapi|hf_|gl[sc]a?_|nrak|shp|whsec|akc|cmvm|[a-z0-9_-]{32}|age-sec|lin_api|pmak|sntry|atatt|atbb|[0-9]{8}:|\.[a-z0-9_-]{6}\.|eyj|ls0t|-----|login|curl|wget|-u|-p|user|_pin|_pat|session|name|machine|account|telegram|discord|slack|office|zapier",
    )
    .ok()
});

impl Redactor {
    /// Built-in patterns and the operator's own.
    pub fn new(own: Vec<OwnPattern>) -> Self {
        Self { own }
    }

    /// The operator's patterns.
    pub fn own(&self) -> &[OwnPattern] {
        &self.own
    }

    /// Text of any number of lines.
    pub fn text(&self, raw: &str) -> Redacted {
        let lines: Vec<&str> = raw.split('\n').collect();
        self.lines(&lines)
    }

    /// Whole lines, in their order: what spans lines is found only when they come together.
    pub fn lines<S: AsRef<str>>(&self, raw: &[S]) -> Redacted {
        let clean: Vec<String> = raw.iter().map(|line| visible(line.as_ref())).collect();
        let spans = blocks::spans(&clean);
        let lines = clean
            .iter()
            .zip(spans)
            .map(|(line, span)| match span {
                blocks::Span::Open => self.line(line),
                blocks::Span::Whole => MASK.to_owned(),
                blocks::Span::Value => blocks::without_value(line),
            })
            .collect();
        Redacted { lines }
    }

    /// A log, with the same lines under the same numbers. A line that began before what was read is taken
    /// out whole: what is left of it may be the end of a secret.
    pub fn log(&self, log: &LogText) -> LogText {
        let text = String::from_utf8_lossy(&log.bytes);
        let mut redacted = self.text(&text);
        if !log.starts_line
            && log.first_line != Some(1)
            && let Some(first) = redacted.lines.first_mut()
            && !first.is_empty()
        {
            MASK.clone_into(first);
        }
        LogText {
            bytes: redacted.lines.join("\n").into_bytes(),
            ..log.clone()
        }
    }

    fn line(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for pattern in &self.own {
            if pattern.regex.is_match(&line) {
                line = pattern.regex.replace_all(&line, MASK).into_owned();
            }
        }
        let triggered = TRIGGER
            .as_ref()
            .is_none_or(|trigger| trigger.is_match(&line));
        if triggered {
            line = settle(line);
        }
        line
    }
}

/// Redacts, and then again what stands behind each thing found: in `--secret token: abc` the name of one secret is
/// the value of another.
fn settle(mut line: String) -> String {
    let once = |text: &str| keyed::redact(&shapes::redact(text));
    line = once(&line);
    for _ in 0..MAX_ROUNDS {
        let mut parts = line.split(MASK);
        let first = parts.next().unwrap_or_default().to_owned();
        let redacted = parts.fold(first, |done, part| format!("{done}{MASK}{}", once(part)));
        if redacted == line {
            return line;
        }
        line = redacted;
    }
    MASK.to_owned()
}

impl Redacted {
    /// The lines, uncut.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// One line in a headline's length; the first that says something when `index` says nothing.
    pub fn headline(&self, index: usize) -> String {
        let says = |line: &&String| !line.trim().is_empty();
        let line = self.lines.get(index).filter(says);
        let line = line.or_else(|| self.lines.iter().find(says));
        line.map_or_else(String::new, |line| cut(&one_line(line), MAX_HEADLINE))
    }

    /// At most [`MAX_EXCERPT_LINES`] lines, the deciding one among them, 3 before it where there are more.
    /// `numbers` are those of the lines in the file, when they are known.
    pub fn excerpt(&self, file: &str, numbers: &[Option<u64>], deciding: usize) -> Option<Excerpt> {
        let deciding = deciding.min(self.lines.len().checked_sub(1)?);
        let most = self.lines.len().saturating_sub(MAX_EXCERPT_LINES);
        let from = if most == 0 {
            0
        } else {
            deciding.saturating_sub(3).min(most)
        };
        let lines = self.lines.iter().enumerate().skip(from);
        Some(Excerpt {
            file: cut(&one_line(file), MAX_HEADLINE),
            lines: lines
                .take(MAX_EXCERPT_LINES)
                .map(|(index, line)| LogLine {
                    number: numbers.get(index).copied().flatten(),
                    text: cut(line.trim_end(), MAX_LINE),
                })
                .collect(),
            deciding: deciding - from,
        })
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most `max` characters, the last of them an ellipsis when something is left out.
fn cut(text: &str, max: usize) -> String {
    if text.chars().nth(max).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The line as a terminal shows its characters, so that no escape sequence and nothing invisible stands
/// within a secret and hides it. Tabs and carriage returns stay.
fn visible(line: &str) -> String {
    static ESCAPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x1b]*(?:\x1b\\)?|\x1b[ -/]*[0-~]?|\u{9b}[0-?]*[ -/]*[@-~]",
        )
        .ok()
    });
    let line = shortened(line);
    let hides = |c: char| (c.is_control() && !matches!(c, '\t' | '\r')) || is_invisible(c);
    if !line.chars().any(hides) {
        return line;
    }
    let bare = match ESCAPES.as_ref() {
        Some(escapes) => escapes.replace_all(&line, "").into_owned(),
        None => line,
    };
    bare.chars().filter(|&c| !hides(c)).collect()
}

/// Cut at the end only, where what is left of a secret still has its beginning.
fn shortened(line: &str) -> String {
    if line.len() <= LONGEST_LINE {
        return line.to_owned();
    }
    let end = (0..=LONGEST_LINE)
        .rev()
        .find(|&end| line.is_char_boundary(end))
        .unwrap_or_default();
    format!("{} …", line.get(..end).unwrap_or_default())
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E007F}')
}

/// Whether a word looks made up by a machine: letters and digits, or letters of both cases out of order, or
/// signs that words have not.
fn looks_random(word: &str) -> bool {
    let has = |test: fn(char) -> bool| word.chars().any(test);
    let letters = has(|c| c.is_ascii_alphabetic());
    let digits = has(|c| c.is_ascii_digit());
    let signs = has(|c| "!@#$%^&*+=~".contains(c));
    let length = word.chars().count();
    let mixed = has(|c| c.is_ascii_lowercase())
        && word.chars().skip(1).any(|c| c.is_ascii_uppercase())
        && length >= 16;
    length >= 6 && letters && (digits || signs || mixed)
}

#[cfg(test)]
mod tests;
