//! Why a run broke, as read from what it left behind: the class of the cause, the deciding lines, and a
//! signature that is the same wherever the same thing went wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pipeline::Said;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseClass {
    /// The code does not compile, or a static check refused it.
    Compile,
    /// A test failed.
    Test,
    /// A dependency cannot be resolved: modules, packages, checksums.
    Dependency,
    /// An image build failed and no better line says why.
    ImageBuild,
    /// A registry refused or does not have an image, chart or package.
    Registry,
    /// Not allowed, not logged in, or credentials ran out.
    Auth,
    /// Somebody's rate limit.
    RateLimit,
    /// A connection failed, or a remote end answered with its own error.
    Network,
    /// A disk is full.
    Disk,
    /// The memory ran out.
    OutOfMemory,
    /// It took too long.
    Timeout,
    /// Git or the forge refused a push, a merge or a pull request.
    Git,
    /// A chart, a manifest, a flag, a missing file or tool.
    Configuration,
    /// Prow or its cluster failed the run.
    Infrastructure,
    /// Lines are shown, and no rule says what they mean.
    Unclassified,
}

/// Every class, in the order in which people are shown them.
pub const CAUSE_CLASSES: [CauseClass; 15] = [
    CauseClass::Compile,
    CauseClass::Test,
    CauseClass::Dependency,
    CauseClass::ImageBuild,
    CauseClass::Registry,
    CauseClass::Auth,
    CauseClass::RateLimit,
    CauseClass::Network,
    CauseClass::Disk,
    CauseClass::OutOfMemory,
    CauseClass::Timeout,
    CauseClass::Git,
    CauseClass::Configuration,
    CauseClass::Infrastructure,
    CauseClass::Unclassified,
];

impl CauseClass {
    /// The word used in config, the API, metrics and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Test => "test",
            Self::Dependency => "dependency",
            Self::ImageBuild => "image-build",
            Self::Registry => "registry",
            Self::Auth => "auth",
            Self::RateLimit => "rate-limit",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::OutOfMemory => "out-of-memory",
            Self::Timeout => "timeout",
            Self::Git => "git",
            Self::Configuration => "configuration",
            Self::Infrastructure => "infrastructure",
            Self::Unclassified => "unclassified",
        }
    }

    /// For people, as the beginning of a sentence in a message.
    pub fn words(self) -> &'static str {
        match self {
            Self::Compile => "compile error",
            Self::Test => "test failed",
            Self::Dependency => "dependency not resolved",
            Self::ImageBuild => "image build failed",
            Self::Registry => "registry refused",
            Self::Auth => "not authorised",
            Self::RateLimit => "rate limit",
            Self::Network => "network error",
            Self::Disk => "disk full",
            Self::OutOfMemory => "out of memory",
            Self::Timeout => "timeout",
            Self::Git => "git refused",
            Self::Configuration => "configuration error",
            Self::Infrastructure => "Prow infrastructure",
            Self::Unclassified => "unclassified",
        }
    }

    /// The class of a word; `None` for an unknown one.
    pub fn parse(word: &str) -> Option<Self> {
        CAUSE_CLASSES
            .into_iter()
            .find(|class| class.as_str() == word)
    }
}

impl fmt::Display for CauseClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Hash of what stays the same of a cause from run to run and from service to service, with the version of
/// the normaliser that made it, such as `v2:`, and 20 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(pub String);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the reason was found, from the cheapest to the dearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The ProwJob's own description.
    Description,
    /// `podinfo.json`: pod and events.
    Pod,
    /// `clone-records.json`: the code could not be fetched.
    Clone,
    /// A JUnit report under `artifacts/`.
    Junit,
    /// The log of a container.
    Log,
    /// `finished.json`.
    Finished,
}

/// Why a run broke. All text in here is redacted and stripped of control characters, and still outside
/// text: renderers escape it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What kind of thing.
    pub class: CauseClass,
    /// The deciding line, at most 300 characters; a sentence of ours when there is no log line.
    pub headline: String,
    /// Equal for the same cause elsewhere; `None` when nothing decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// Where it was found.
    pub origin: Origin,
    /// The rule that chose the deciding line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Lines around the deciding one, when there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<Excerpt>,
}

/// Lines of a file, at most [`MAX_EXCERPT_LINES`], in order; gaps are possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Name of the file within the run's folder, such as `build-log.txt`.
    pub file: String,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Index into [`Self::lines`] of the deciding one.
    pub deciding: usize,
}

/// Lines of an excerpt in a message.
pub const BRIEF_LINES: usize = 12;
/// Of these, at most this many before the deciding one, where there are enough after it.
const BRIEF_BEFORE: usize = 3;
/// Lines of an excerpt that are kept.
pub const MAX_EXCERPT_LINES: usize = 40;

/// One line of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number in the file, from 1; `None` when only the end of the file was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// The line, at most 500 characters.
    pub text: String,
}

impl Finding {
    /// As much of it as a message shows: what goes with the incident from message to message.
    #[must_use]
    pub fn brief(&self) -> Self {
        let Self::Found(evidence) = self else {
            return self.clone();
        };
        Self::Found(Evidence {
            excerpt: evidence.excerpt.as_ref().map(Excerpt::brief),
            ..evidence.clone()
        })
    }
}

impl Excerpt {
    /// The lines around the deciding one, at most [`BRIEF_LINES`], more of them after it than before.
    fn brief(&self) -> Self {
        let before = self.deciding.min(BRIEF_BEFORE);
        let last = self.lines.len().saturating_sub(BRIEF_LINES);
        let begin = (self.deciding - before).min(last);
        Self {
            file: self.file.clone(),
            lines: self
                .lines
                .iter()
                .skip(begin)
                .take(BRIEF_LINES)
                .cloned()
                .collect(),
            deciding: self.deciding - begin,
        }
    }

    /// The line that decides.
    pub fn deciding_line(&self) -> Option<&LogLine> {
        self.lines.get(self.deciding)
    }
}

/// What came of looking for a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It was found.
    Found(Evidence),
    /// Of a green run: what its log says of its work.
    Green(Said),
    /// There is nothing to read, and there never will be; says why.
    Nothing(String),
    /// It could not be read so far; says why. Tried again for a while.
    Unreadable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_listed_once_and_found_by_its_word() {
        for (index, class) in CAUSE_CLASSES.into_iter().enumerate() {
            assert_eq!(CauseClass::parse(class.as_str()), Some(class));
            assert_eq!(class as usize, index);
        }
        assert_eq!(CauseClass::parse("compile error"), None);
    }
}
