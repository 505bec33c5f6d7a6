//! Which lines of a log say what broke: patterns with a weight and a class, those of the configuration before
//! the built-in ones, and what is only noise. Patterns see one cleaned line, without the time before it.

mod builtin;
mod lines;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, LazyLock},
};

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder, SetMatches};
use regex_automata::{
    Input,
    meta::{self, Regex as Finder},
    util::syntax,
};

use crate::domain::evidence::CauseClass;

pub use builtin::{Builtin, builtin};
use lines::{CLEANUP, LAST_CLEANUP, NOISE, RETRY, SEGMENT};

/// A rule decides from this weight on.
pub const DECIDES: u32 = 60;
/// Up to this weight a rule only says that something failed; a line that says what goes before it.
pub const VAGUE: u32 = 67;
/// The weight of a rule that names none: above every built-in one.
pub const USER_WEIGHT: u32 = 100;
/// No rule weighs more.
pub const MAX_WEIGHT: u32 = 100;
/// Compiled size of one pattern, in bytes. Patterns of people are far below; a repetition of repetitions is
/// not.
const PATTERN_LIMIT: usize = 1 << 20;
/// Of all patterns together: enough for hundreds at the limit of one.
const SET_LIMIT: usize = 1 << 29;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRule {
    /// Shown with what it found; unique.
    pub name: Cow<'static, str>,
    /// Regular expression on the bytes of one line; `\w`, `\b` and `(?i)` are ASCII's.
    pub pattern: Cow<'static, str>,
    /// How well it names a cause, up to [`MAX_WEIGHT`]; see [`DECIDES`] and [`VAGUE`].
    pub weight: u32,
    /// What kind of cause.
    pub class: CauseClass,
}

/// Why a pattern cannot be a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Not a regular expression, or one that grows too large.
    #[error("{0}")]
    Syntax(String),
    /// It would find every line.
    #[error("it matches every line")]
    Everything,
}

/// Checks one pattern and gives it compiled.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let regex = RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(PATTERN_LIMIT)
        .build()
        .map_err(|error| PatternError::Syntax(last_line(&error.to_string())))?;
    // Lines that have nothing in common but that they are lines.
    if regex.is_match(b"")
        || [&b" "[..], b"a", b"~"]
            .iter()
            .all(|line| regex.is_match(line))
    {
        return Err(PatternError::Everything);
    }
    Ok(regex)
}

/// The library draws the pattern over several lines; the last one says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// All rules. Cheap to clone. The built-in ones alone are compiled when a log is first read: that takes memory
/// which a daemon without a failure to explain does not need.
#[derive(Clone)]
pub struct LogRules(Option<Arc<Compiled>>);

struct Compiled {
    rules: Vec<LogRule>,
    /// How many of them are of the configuration.
    user: usize,
    /// The rules, and then [`EXTRAS`].
    set: RegexSet,
    retry: Regex,
    /// Finds in many lines at once where any of the set may match, but for noise.
    finder: Finder,
}

/// What else is looked for in a line, behind the rules in the set.
const EXTRAS: [&[&str]; 5] = [NOISE, RETRY, SEGMENT, CLEANUP, LAST_CLEANUP];

/// Places in [`EXTRAS`].
#[derive(Clone, Copy)]
enum Extra {
    Noise,
    Retry,
    Segment,
    Cleanup,
    LastCleanup,
}

static BUILTIN_RULES: LazyLock<Compiled> = LazyLock::new(|| {
    Compiled::new(Vec::new()).expect("the built-in patterns, which tests compile")
});

/// A part of a job, as far as its first line tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Work.
    Work,
    /// Tidying up.
    Cleanup,
    /// Tidying up, and so is all that follows.
    LastCleanup,
}

/// What a line is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meaning {
    /// The rule that matched, as an index for [`LogRules::rule`].
    pub rule: Option<usize>,
    /// Whether the line is a command, a warning or a good end, whatever rule it matches.
    pub noise: bool,
    /// A new step of the job begins.
    pub step: Option<Step>,
    /// What failed before is tried again.
    pub retry: bool,
}

impl Compiled {
    fn new(user: Vec<LogRule>) -> Result<Self, PatternError> {
        let mut rules = user;
        let user = rules.len();
        rules.extend(builtin().map(LogRule::from));
        let mut patterns: Vec<Cow<'_, str>> =
            rules.iter().map(|rule| rule.pattern.clone()).collect();
        let extras = EXTRAS.map(|extra| Cow::Owned(builtin::any_of(extra, true)));
        patterns.extend(extras);
        let set = RegexSetBuilder::new(&patterns)
            .unicode(false)
            .size_limit(SET_LIMIT)
            .build()
            .map_err(|error| PatternError::Syntax(last_line(&error.to_string())))?;
        patterns.remove(rules.len() + Extra::Noise as usize);
        let finder = finder(&patterns)?;
        let retry = RegexBuilder::new(&builtin::any_of(RETRY, true))
            .unicode(false)
            .build()
            .map_err(|error| PatternError::Syntax(last_line(&error.to_string())))?;
        Ok(Self {
            rules,
            user,
            set,
            retry,
            finder,
        })
    }

    fn has(&self, matched: &SetMatches, extra: Extra) -> bool {
        matched.matched(self.rules.len() + extra as usize)
    }

    /// Rules of the configuration mean what they match.
    fn heeds_noise(&self, index: usize) -> bool {
        let loud = |rule: &LogRule| builtin::LOUD.contains(&&*rule.name);
        index >= self.user && !self.rules.get(index).is_some_and(loud)
    }

    fn step(&self, matched: &SetMatches) -> Option<Step> {
        if self.has(matched, Extra::LastCleanup) {
            Some(Step::LastCleanup)
        } else if self.has(matched, Extra::Cleanup) {
            Some(Step::Cleanup)
        } else {
            self.has(matched, Extra::Segment).then_some(Step::Work)
        }
    }
}

impl LogRules {
    /// The built-in rules alone.
    pub fn builtin() -> Self {
        Self(None)
    }

    /// Rules of the configuration before the built-in ones.
    pub fn with(user: Vec<LogRule>) -> Result<Self, PatternError> {
        if user.is_empty() {
            Ok(Self::builtin())
        } else {
            Ok(Self(Some(Arc::new(Compiled::new(user)?))))
        }
    }

    fn compiled(&self) -> &Compiled {
        self.0.as_deref().unwrap_or_else(|| &BUILTIN_RULES)
    }

    /// The rule of an index; indexes come from [`Meaning`].
    pub fn rule(&self, index: usize) -> Option<&LogRule> {
        self.compiled().rules.get(index)
    }

    /// Every rule, those of the configuration first.
    pub fn rules(&self) -> &[LogRule] {
        &self.compiled().rules
    }

    /// In a cleaned block, the end of the next place from `from` on that may mean something.
    pub(crate) fn next(&self, block: &[u8], from: usize) -> Option<usize> {
        let input = Input::new(block).range(from..).earliest(true);
        self.compiled()
            .finder
            .search_half(&input)
            .map(|half| half.offset())
    }

    /// What a cleaned line means. Of several rules the heaviest counts, of equal ones the first.
    pub fn meaning(&self, line: &[u8]) -> Meaning {
        let compiled = self.compiled();
        let matched = compiled.set.matches(line);
        let heaviest = matched
            .iter()
            .filter_map(|index| Some((index, compiled.rules.get(index)?.weight)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best });
        Meaning {
            rule: heaviest.map(|(index, _)| index),
            noise: heaviest.is_some_and(|(index, _)| compiled.heeds_noise(index))
                && compiled.has(&matched, Extra::Noise),
            step: compiled.step(&matched),
            retry: compiled.has(&matched, Extra::Retry) && is_retry(&compiled.retry, line),
        }
    }

    /// Whether a rule finds what Prow itself says of how it ended a job: then nothing else decides.
    pub(crate) fn is_final(&self, index: usize) -> bool {
        index >= self.compiled().user
            && self
                .rule(index)
                .is_some_and(|rule| builtin::FINAL.contains(&&*rule.name))
    }

    /// Whether a cleaned line is noise: a command, a warning, a good end.
    pub fn is_noise(&self, line: &[u8]) -> bool {
        let compiled = self.compiled();
        let matched = compiled.set.matches(line);
        let has = |extra| compiled.has(&matched, extra);
        has(Extra::Noise) || has(Extra::Segment)
    }
}

impl fmt::Debug for LogRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rules().iter().map(|rule| &rule.name);
        f.debug_list().entries(names).finish()
    }
}

impl Default for LogRules {
    fn default() -> Self {
        Self::builtin()
    }
}

impl From<&Builtin> for LogRule {
    fn from(rule: &Builtin) -> Self {
        Self {
            name: rule.name.into(),
            pattern: builtin::any_of(rule.patterns, rule.any_case).into(),
            weight: rule.weight,
            class: rule.class,
        }
    }
}

fn finder(patterns: &[Cow<'_, str>]) -> Result<Finder, PatternError> {
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .multi_line(true);
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(SET_LIMIT))
        .hybrid_cache_capacity(8 << 20);
    meta::Builder::new()
        .syntax(syntax)
        .configure(config)
        .build_many(patterns)
        .map_err(|error| PatternError::Syntax(error.to_string()))
}

/// Whether a line says that there is another try. The last try of several says so too and is none.
fn is_retry(retry: &Regex, line: &[u8]) -> bool {
    let Some(groups) = retry.captures(line) else {
        return false;
    };
    let number = |index| {
        let text = std::str::from_utf8(groups.get(index)?.as_bytes()).ok()?;
        text.parse::<u32>().ok()
    };
    match (number(1), number(2)) {
        (Some(this), Some(of)) => this < of && !builtin::gave_up(line),
        _ => !builtin::gave_up(line),
    }
}

#[cfg(test)]
mod tests;
