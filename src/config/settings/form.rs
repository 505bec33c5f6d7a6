//! The forms that texts of settings have.

use crate::config::units;

/// How the text of a setting is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// `90s`, `1h30m`, `7d`.
    Duration,
    /// `4MiB`.
    Size,
    /// A whole number from 1.
    Number,
    /// `true` or `false`.
    Flag,
    /// A list of texts; lists of several files are joined.
    List,
}

/// Checks a text against its form; the error is a hint.
pub(super) fn read_form(form: Form, text: &str) -> Result<(), &'static str> {
    match form {
        Form::Text | Form::List => Ok(()),
        Form::Duration => units::duration(text)
            .map(drop)
            .ok_or("write 90s, 1h30m or 7d"),
        Form::Size => units::size_bytes(text)
            .filter(|bytes| *bytes > 0)
            .map(drop)
            .ok_or("write a size such as 4MiB"),
        Form::Number => text
            .parse::<u32>()
            .ok()
            .filter(|number| *number > 0)
            .map(drop)
            .ok_or("write a whole number from 1"),
        Form::Flag => matches!(text, "true" | "false")
            .then_some(())
            .ok_or("write true or false"),
    }
}
