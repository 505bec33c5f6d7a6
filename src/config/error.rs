//! Configuration errors for people: what is wrong, in which file and line, and what to do.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use super::yaml::Source;

/// Where something stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The file and its text.
    pub source: Arc<Source>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}",
            self.source.path.display(),
            self.line,
            self.column
        )
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Where, when it stands in a file.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Problem {
    /// A problem at a place in a file.
    pub fn at(place: Place, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            what: what.into(),
            hint: hint.into(),
        }
    }

    /// A problem of the whole.
    pub fn general(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            place: None,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => {
                write!(f, "{place}: {}", self.what)?;
                let line = place
                    .source
                    .text
                    .lines()
                    .nth(place.line.saturating_sub(1))
                    .unwrap_or_default();
                let number = place.line.to_string();
                let margin = " ".repeat(number.len());
                let indent: String = line
                    .chars()
                    .take(place.column.saturating_sub(1))
                    .map(|c| if c == '\t' { '\t' } else { ' ' })
                    .collect();
                let line = masked(line);
                write!(f, "\n {number} | {line}\n {margin} | {indent}^")?;
            }
            None => f.write_str(&self.what)?,
        }
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// A line of a configuration as it may be shown: whoever puts a webhook or a password where it does not
/// belong is told so, but the log of it is for others too. As long as before, so that marks below it fit.
fn masked(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        let is_web = before.ends_with("http") || before.ends_with("https");
        let end = after
            .find(|c: char| c.is_whitespace() || "\"'`,{}[]<>".contains(c))
            .unwrap_or(after.len());
        let (address, tail) = after.split_at(end);
        let (user, host) = match address.rsplit_once('@') {
            Some((user, host)) => (user.chars().count() + 1, host),
            None => (0, address),
        };
        let path = host.find(['/', '?', '#']).unwrap_or(host.len());
        let (host, path) = host.split_at(path);
        shown.push_str(before);
        shown.push_str("://");
        shown.push_str(&"*".repeat(user));
        shown.push_str(host);
        if is_web {
            shown.push_str(&"*".repeat(path.chars().count()));
        } else {
            shown.push_str(path);
        }
        rest = tail;
    }
    shown + rest
}

/// All that is wrong with a configuration; never empty.
#[derive(Debug, Clone, thiserror::Error)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            write!(text, "{problem}")?;
        }
        f.write_str(&text)
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
