//! Alertmanager's matchers over the labels of a run: `label="v"`, `!=`, `=~`, `!~`. Regular expressions
//! are anchored at both ends. A missing label equals the empty string.

use std::{collections::BTreeMap, fmt};

use regex::Regex;

use super::{
    classify::{Classification, Severity},
    observation::Observation,
    verdict::Verdict,
};

/// What a matcher can look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// `spec.type`.
    Type,
    /// Organisation of `spec.refs`.
    Org,
    /// Repository of `spec.refs`.
    Repo,
    /// Job name.
    Job,
    /// Branch or tag.
    Ref,
    /// Build cluster.
    Cluster,
    /// Prow's state.
    State,
    /// Our verdict.
    Verdict,
    /// Service, by rule.
    Service,
    /// Owner when there is no service, by rule.
    Component,
    /// Stage, by rule.
    Stage,
    /// Severity, by rule.
    Severity,
    /// `label:<key>` of the ProwJob.
    JobLabel(String),
    /// `annotation:<key>` of the ProwJob.
    Annotation(String),
}

/// Names of the labels that need no key.
pub const LABELS: [&str; 12] = [
    "type",
    "org",
    "repo",
    "job",
    "ref",
    "cluster",
    "state",
    "verdict",
    "service",
    "component",
    "stage",
    "severity",
];

impl Label {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "type" => Self::Type,
            "org" => Self::Org,
            "repo" => Self::Repo,
            "job" => Self::Job,
            "ref" => Self::Ref,
            "cluster" => Self::Cluster,
            "state" => Self::State,
            "verdict" => Self::Verdict,
            "service" => Self::Service,
            "component" => Self::Component,
            "stage" => Self::Stage,
            "severity" => Self::Severity,
            _ => match name.split_once(':') {
                Some(("label", key)) if !key.is_empty() => Self::JobLabel(key.to_owned()),
                Some(("annotation", key)) if !key.is_empty() => Self::Annotation(key.to_owned()),
                _ => return None,
            },
        })
    }

    /// Whether the label is set by classification, so that classification cannot match on it.
    pub fn is_derived(&self) -> bool {
        matches!(
            self,
            Self::Service | Self::Component | Self::Stage | Self::Severity
        )
    }
}

/// A run as matchers see it.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The run.
    pub run: &'a Observation,
    /// Its verdict.
    pub verdict: Verdict,
    /// What the rules made of it; `None` while classifying.
    pub class: Option<&'a Classification>,
}

impl<'a> Labels<'a> {
    /// The value of a label, empty when there is none.
    pub fn get(&self, label: &Label) -> &'a str {
        let class = |pick: fn(&'a Classification) -> &'a str| self.class.map_or("", pick);
        match label {
            Label::Type => self.run.job_type.as_str(),
            Label::Org => self.run.org(),
            Label::Repo => self.run.repo(),
            Label::Job => &self.run.job,
            Label::Ref => self.run.base_ref(),
            Label::Cluster => &self.run.cluster,
            Label::State => self.run.state.as_str(),
            Label::Verdict => self.verdict.as_str(),
            Label::Service => class(|c| c.service.as_deref().unwrap_or_default()),
            Label::Component => class(|c| &c.component),
            Label::Stage => class(|c| c.stage.as_deref().unwrap_or_default()),
            Label::Severity => class(|c| c.severity.as_str()),
            Label::JobLabel(key) => value(&self.run.labels, key),
            Label::Annotation(key) => value(&self.run.annotations, key),
        }
    }
}

fn value<'a>(map: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    map.get(key).map_or("", String::as_str)
}

/// One condition on one label.
#[derive(Debug, Clone)]
pub struct Matcher {
    /// The label.
    pub label: Label,
    test: Test,
    text: String,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    NotMatches(Regex),
}

/// Why a matcher cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MatcherError {
    /// No operator, or no quotes.
    #[error(
        "cannot read matcher `{0}`: write it as label=\"value\", with one of = != =~ !~ and the value in double quotes"
    )]
    Shape(String),
    /// A quote within the value: most likely several matchers in one.
    #[error(
        "matcher `{0}` goes on behind its value: write each matcher by itself, and \\\" for a quote within a value"
    )]
    Quote(String),
    /// Unknown label.
    #[error("unknown label `{name}` in matcher `{matcher}`{hint}")]
    Label {
        /// The label as written.
        name: String,
        /// The whole matcher.
        matcher: String,
        /// What may have been meant.
        hint: String,
    },
    /// A severity that there is not.
    #[error("unknown severity `{value}` in matcher `{matcher}`{hint}")]
    Severity {
        /// The severity as written.
        value: String,
        /// The whole matcher.
        matcher: String,
        /// What may have been meant.
        hint: String,
    },
    /// The regular expression does not compile.
    #[error("bad regular expression in matcher `{matcher}`: {why}")]
    Regex {
        /// The whole matcher.
        matcher: String,
        /// The regex crate's explanation, on one line.
        why: String,
    },
}

impl Matcher {
    /// Reads `label="value"`.
    pub fn parse(text: &str) -> Result<Self, MatcherError> {
        let shape = || MatcherError::Shape(text.to_owned());
        let (name, operator, rest) = split(text).ok_or_else(shape)?;
        let quoted = rest.trim();
        let value = quoted
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .filter(|_| quoted.len() >= 2)
            .ok_or_else(shape)?;
        if has_bare_quote(value) {
            return Err(MatcherError::Quote(text.to_owned()));
        }
        let value = unescape(value, operator);
        let label = Label::parse(name).ok_or_else(|| MatcherError::Label {
            name: name.to_owned(),
            matcher: text.to_owned(),
            hint: super::nearest::hint(
                name,
                LABELS
                    .iter()
                    .copied()
                    .chain(["label:<key>", "annotation:<key>"]),
            ),
        })?;
        let regex = |pattern: &str| {
            Regex::new(&format!("^(?:{pattern})$")).map_err(|error| MatcherError::Regex {
                matcher: text.to_owned(),
                why: error
                    .to_string()
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned(),
            })
        };
        let test = match operator {
            "=" => Test::Equal(value),
            "!=" => Test::NotEqual(value),
            "=~" => Test::Matches(regex(&value)?),
            _ => Test::NotMatches(regex(&value)?),
        };
        Ok(Self {
            label,
            test,
            text: text.to_owned(),
        })
    }

    /// Reads what a person writes now: refuses as well what compares the severity with a word that it never is. What
    /// was kept by an older version is read by [`Self::parse`].
    pub fn written(text: &str) -> Result<Self, MatcherError> {
        let matcher = Self::parse(text)?;
        match (&matcher.label, &matcher.test) {
            (Label::Severity, Test::Equal(word) | Test::NotEqual(word))
                if Severity::parse(word).is_none() =>
            {
                let known = [Severity::Critical, Severity::NonCritical].map(Severity::as_str);
                Err(MatcherError::Severity {
                    value: word.clone(),
                    matcher: text.to_owned(),
                    hint: super::nearest::hint(word, known.into_iter()),
                })
            }
            _ => Ok(matcher),
        }
    }

    /// Whether the run meets the condition.
    pub fn matches(&self, labels: &Labels<'_>) -> bool {
        let value = labels.get(&self.label);
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Matches(regex) => regex.is_match(value),
            Test::NotMatches(regex) => !regex.is_match(value),
        }
    }

    /// Whether it is settled by comparing two texts.
    pub fn is_cheap(&self) -> bool {
        matches!(self.test, Test::Equal(_) | Test::NotEqual(_))
    }

    /// Adds the named groups of a `=~` matcher that matched.
    pub fn captures(&self, labels: &Labels<'_>, into: &mut BTreeMap<String, String>) {
        let Test::Matches(regex) = &self.test else {
            return;
        };
        // Without a name there is only the whole match.
        if regex.captures_len() == 1 {
            return;
        }
        let Some(found) = regex.captures(labels.get(&self.label)) else {
            return;
        };
        for name in regex.capture_names().flatten() {
            if let Some(group) = found.name(name) {
                into.insert(name.to_owned(), group.as_str().to_owned());
            }
        }
    }

    /// Names of the groups that [`Self::captures`] can fill.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        match &self.test {
            Test::Matches(regex) => Some(regex.capture_names().flatten()),
            Test::Equal(_) | Test::NotEqual(_) | Test::NotMatches(_) => None,
        }
        .into_iter()
        .flatten()
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Splits at the first operator; a value may hold operators too, a label cannot.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let at = text.find(['=', '!'])?;
    let (name, rest) = text.split_at(at);
    let operator = ["=~", "!~", "!=", "="]
        .into_iter()
        .find(|operator| rest.starts_with(operator))?;
    Some((name.trim(), operator, rest.strip_prefix(operator)?))
}

/// Whether there is a quote that no backslash stands before.
fn has_bare_quote(value: &str) -> bool {
    let mut is_escaped = false;
    value.chars().any(|c| {
        let is_bare = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_bare
    })
}

/// In plain values `\"` and `\\` are escapes; in regular expressions only `\"` is.
fn unescape(value: &str, operator: &str) -> String {
    let value = value.replace("\\\"", "\"");
    if operator.ends_with('~') {
        value
    } else {
        value.replace("\\\\", "\\")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_matchers_in_one_are_refused_and_escaped_quotes_are_not() {
        for several in [
            r#"service="s3",stage="publish""#,
            r#"service="s3", stage=~"publish""#,
            r#"service=~"s3" "sqs""#,
            r#"job="a\\"b""#,
        ] {
            let error = Matcher::parse(several).unwrap_err().to_string();
            assert!(error.contains("each matcher by itself"), "{error}");
        }
        for good in [
            r#"job="a\"b""#,
            r#"job="""#,
            r#"job=~"\d+\"""#,
            r#"job="a\\\"b""#,
            r#"job="C:\\""#,
        ] {
            assert!(Matcher::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_severity_that_there_is_not_is_refused_where_it_is_written_and_read_where_it_was_kept() {
        for wrong in [r#"severity="noncritical""#, r#"severity!="high""#] {
            assert!(Matcher::written(wrong).is_err(), "{wrong}");
            assert!(Matcher::parse(wrong).is_ok(), "{wrong}");
        }
        for right in [r#"severity!="critical""#, r#"severity=~"non.*""#] {
            assert!(Matcher::written(right).is_ok(), "{right}");
        }
    }
}
