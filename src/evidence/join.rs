//! All evidence of a run, joined into one finding: the cheapest that explains wins, and everything passes
//! the redactor before it leaves.

use super::{
    LogText, Remains, clone,
    clue::{Clue, Lines},
    excerpt::{Reading, read_log},
    junit, pod,
    redact::Redactor,
    rules::LogRules,
    signature::signature,
    structured,
};
use crate::domain::evidence::{CauseClass, Evidence, Excerpt, Finding, Origin, Signature};

/// A finding, and what could not be read on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examination {
    /// The reason.
    pub finding: Finding,
    /// For people: files that could not be read, or not to their end.
    pub notes: Vec<String>,
}

/// The reason, from the cheapest evidence that explains to the dearest. Nothing in it is secret.
pub fn explain(remains: &Remains, rules: &LogRules, redactor: &Redactor) -> Finding {
    examine(remains, rules, redactor).finding
}

/// The same, with what could not be read.
pub fn examine(remains: &Remains, rules: &LogRules, redactor: &Redactor) -> Examination {
    examine_with(remains, redactor, &|log| read_log(log, rules), &signature)
}

/// Looks at everything. `read` reads one log, which has no secrets any more; `sign` makes a signature of a
/// class and a line.
fn examine_with(
    remains: &Remains,
    redactor: &Redactor,
    read: &dyn Fn(&LogText) -> Option<Reading>,
    sign: &dyn Fn(CauseClass, &str) -> Signature,
) -> Examination {
    let join = Join {
        redactor,
        read,
        sign,
    };
    let mut notes = Vec::new();
    let found = join.found(remains, &mut notes);
    for note in &mut notes {
        *note = redactor.text(note).headline(0);
    }
    let finding = match found {
        Some(evidence) => Finding::Found(evidence),
        None if !notes.is_empty() => Finding::Unreadable(notes.join("; ")),
        None if remains.is_empty() => {
            Finding::Nothing("the run left no log and no report".to_owned())
        }
        None => Finding::Nothing("what the run left does not say why it failed".to_owned()),
    };
    Examination { finding, notes }
}

/// The logs of the containers that failed, when that is known and they have any; else all.
fn suspects<'l>(logs: &'l [LogText], failed: &[String]) -> Vec<&'l LogText> {
    let is_of_failed = |log: &&LogText| {
        let container = log.file.strip_suffix("-build-log.txt");
        container.is_some_and(|name| failed.iter().any(|failed| failed == name))
    };
    let suspects: Vec<&LogText> = logs.iter().filter(is_of_failed).collect();
    if suspects.iter().all(|log| log.bytes.is_empty()) {
        return logs.iter().collect();
    }
    suspects
}

struct Join<'a> {
    redactor: &'a Redactor,
    read: &'a dyn Fn(&LogText) -> Option<Reading>,
    sign: &'a dyn Fn(CauseClass, &str) -> Signature,
}

/// What is said when a file could not be read, and nothing.
fn or_note<T: Default>(read: Result<T, String>, notes: &mut Vec<String>) -> T {
    read.unwrap_or_else(|note| {
        notes.push(note);
        T::default()
    })
}

impl Join<'_> {
    fn found(&self, remains: &Remains, notes: &mut Vec<String>) -> Option<Evidence> {
        let description = structured::description(&remains.description);
        let pod = remains.podinfo.as_deref().map(pod::read);
        let pod = pod.map(|pod| or_note(pod, notes)).unwrap_or_default();
        let clone = remains.clone_records.as_deref().map(clone::read);
        let clone = clone.and_then(|clone| or_note(clone, notes));
        let told = [description, pod.clue, clone];
        if let Some(clue) = told.iter().flatten().find(|clue| clue.is_firm) {
            return Some(self.of_clue(clue));
        }
        let logs = if remains.logs.iter().all(|log| log.bytes.is_empty()) {
            &pod.messages
        } else {
            &remains.logs
        };
        let reading = self.surest(&suspects(logs, &pod.failed));
        let explains = |reading: &&Reading| reading.class != CauseClass::Unclassified;
        let beats_junit =
            |reading: &&Reading| explains(reading) && reading.class != CauseClass::Test;
        if let Some(reading) = reading.as_ref().filter(beats_junit) {
            return Some(self.of_reading(reading));
        }
        if let Some(clue) = junit::read(&remains.junit, notes) {
            return Some(self.of_clue(&clue));
        }
        if let Some(reading) = reading.as_ref().filter(explains) {
            return Some(self.of_reading(reading));
        }
        // The pod knows better than the description why it did not start.
        let [description, pod_clue, clone] = &told;
        if let Some(clue) = pod_clue
            .as_ref()
            .or(clone.as_ref())
            .or(description.as_ref())
        {
            return Some(self.of_clue(clue));
        }
        let finished = remains.finished.as_deref().map(structured::finished);
        let finished = finished.and_then(|finished| or_note(finished, notes));
        // A line that a rule chose, though it has no class, says more than the pod's own summary.
        match (reading, finished) {
            (Some(reading), None) => Some(self.of_reading(&reading)),
            (Some(reading), Some(_)) if reading.rule.is_some() => Some(self.of_reading(&reading)),
            (_, finished) => finished.map(|clue| self.of_clue(&clue)),
        }
    }

    /// Of several logs one that ends badly, of these the surest, among equals the first.
    fn surest(&self, logs: &[&LogText]) -> Option<Reading> {
        let readings = logs
            .iter()
            .filter_map(|log| (self.read)(&self.redactor.log(log)));
        readings.reduce(|best, next| {
            let rank =
                |reading: &Reading| (reading.rule.is_some(), reading.ends_badly, reading.score);
            if rank(&next) > rank(&best) {
                next
            } else {
                best
            }
        })
    }

    fn of_clue(&self, clue: &Clue) -> Evidence {
        let (headline, excerpt) = match &clue.lines {
            Some(Lines {
                file,
                texts,
                deciding,
            }) => {
                let redacted = self.redactor.lines(texts);
                let file = self.redactor.text(file).headline(0);
                (
                    redacted.headline(*deciding),
                    redacted.excerpt(&file, &[], *deciding),
                )
            }
            None => (self.redactor.text(&clue.headline).headline(0), None),
        };
        let rule = Some(clue.rule.to_owned());
        self.evidence(clue.class, clue.origin, rule, headline, excerpt)
    }

    /// Once more through the redactor: cleaning may have put together what the log's bytes kept apart.
    fn of_reading(&self, reading: &Reading) -> Evidence {
        let texts: Vec<&str> = reading
            .lines
            .iter()
            .map(|line| line.text.as_str())
            .collect();
        let numbers: Vec<Option<u64>> = reading.lines.iter().map(|line| line.number).collect();
        let redacted = self.redactor.lines(&texts);
        let file = self.redactor.text(&reading.file).headline(0);
        let evidence = self.evidence(
            reading.class,
            Origin::Log,
            reading.rule.clone(),
            redacted.headline(reading.deciding),
            redacted.excerpt(&file, &numbers, reading.deciding),
        );
        // The headline is cut, and where depends on names in it.
        let whole = self.redactor.text(&reading.whole_line);
        let signed = whole.lines().first().filter(|line| !line.is_empty());
        let signature = signed.map(|line| (self.sign)(reading.class, line));
        Evidence {
            signature: evidence.signature.and(signature),
            ..evidence
        }
    }

    fn evidence(
        &self,
        class: CauseClass,
        origin: Origin,
        rule: Option<String>,
        headline: String,
        excerpt: Option<Excerpt>,
    ) -> Evidence {
        let headline = if headline.is_empty() {
            class.words().to_owned()
        } else {
            headline
        };
        Evidence {
            signature: rule.is_some().then(|| (self.sign)(class, &headline)),
            class,
            headline,
            origin,
            rule,
            excerpt,
        }
    }
}

#[cfg(test)]
mod tests;
