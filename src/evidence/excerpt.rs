//! Finds the lines of a log that say why a run broke. Rules find candidates; the last step of the job that
//! failed wins, and in it the first line of the heaviest rule, because errors cascade downwards and steps
//! that were repeated fail upwards.

mod scan;

use std::ops::Range;

use super::{
    LogText,
    clean::{self, KEPT_CHARS},
    rules::{DECIDES, LogRules, VAGUE},
};
use crate::domain::evidence::{CauseClass, LogLine, MAX_EXCERPT_LINES};
use scan::{Hit, Scan};

/// What is read first, from the end, in bytes: nearly every failure is there.
const TAIL: usize = 1 << 20;
/// Lines before the deciding one, if they are of its step.
const ABOVE: u64 = 10;
/// Lines after the deciding one, if they are of its step.
const BELOW: u64 = 29;
/// Lines shown when no rule decides.
const LAST: usize = 15;
/// What failed in a container is told this near to the end of its log, in lines.
const END: u64 = 10;
/// Hits further apart than this belong to different steps, also where no step is marked.
const GAP: u64 = 60;
/// How far above a vague line its reason is looked for, in lines.
const REASON_WITHIN: u64 = 100;
/// How far above a vague line the last of several tries is looked for, in lines.
const GAVE_UP_WITHIN: u64 = 10;
/// A network that failed this many lines before something else did has come back.
const RECOVERED_AFTER: u64 = 12;

/// What a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The log.
    pub file: String,
    /// What kind of thing went wrong.
    pub class: CauseClass,
    /// The rule that decided; `None` for the last lines of a log in which none did.
    pub rule: Option<String>,
    /// Weight of the rule and closeness to the end; below [`DECIDES`] when none decided.
    pub score: u32,
    /// Whether something failed in the last few lines: of several logs, that of what failed.
    pub ends_badly: bool,
    /// Index into [`Self::lines`] of the deciding one.
    pub deciding: usize,
    /// The deciding line without the cut that [`Self::lines`] have, for its signature: where it is cut would
    /// depend on names in it. At most [`clean::MATCHED_BYTES`] characters. Cleaned, **not redacted**.
    pub whole_line: String,
    /// At most [`MAX_EXCERPT_LINES`], each of at most [`KEPT_CHARS`] characters. Cleaned, **not redacted**.
    pub lines: Vec<LogLine>,
}

/// Reads one log; `None` for one without a line.
pub fn read_log(log: &LogText, rules: &LogRules) -> Option<Reading> {
    let text = Text::new(log)?;
    let tail = text.tail();
    let near = Scan::new(text.bytes, tail.clone(), rules);
    match near.decide(rules) {
        Some(hit) if tail.start == text.lines_from || hit.weight > VAGUE => {
            return Some(text.around(&near, &hit, rules));
        }
        None if tail.start == text.lines_from => return text.last_lines(&near, rules),
        Some(_) | None => {}
    }
    let whole = Scan::new(text.bytes, text.lines_from..text.bytes.len(), rules);
    match whole.decide(rules) {
        Some(hit) => Some(text.around(&whole, &hit, rules)),
        None => text.last_lines(&near, rules),
    }
}

/// The bytes of a log and how its lines are counted.
struct Text<'a> {
    log: &'a LogText,
    bytes: &'a [u8],
    /// Where the first whole line begins.
    lines_from: usize,
}

impl<'a> Text<'a> {
    fn new(log: &'a LogText) -> Option<Self> {
        let bytes = log.bytes.as_slice();
        let whole = if log.starts_line {
            0
        } else {
            memchr::memchr(b'\n', bytes).map_or(0, |newline| newline + 1)
        };
        // The only line there is beats none, even without its beginning.
        let lines_from = if whole < bytes.len() { whole } else { 0 };
        bytes
            .iter()
            .any(|byte| !byte.is_ascii_whitespace())
            .then_some(Self {
                log,
                bytes,
                lines_from,
            })
    }

    fn tail(&self) -> Range<usize> {
        let length = self.bytes.len();
        let start = length.saturating_sub(TAIL);
        if start <= self.lines_from {
            return self.lines_from..length;
        }
        let rest = self.bytes.get(start..).unwrap_or_default();
        match memchr::memchr(b'\n', rest) {
            Some(newline) if start + newline + 1 < length => start + newline + 1..length,
            Some(_) | None => self.lines_from..length,
        }
    }

    /// The number in the file of a line that begins at `offset`.
    fn number_at(&self, offset: usize) -> Option<u64> {
        let before = self.bytes.get(..offset)?;
        let newlines = memchr::memchr_iter(b'\n', before).count();
        Some(self.log.first_line? + newlines as u64)
    }

    /// The line at a range, with its number if the first one's is known.
    fn line(&self, range: Range<usize>, number: Option<u64>) -> LogLine {
        LogLine {
            number,
            text: clean::kept(&self.show(range)),
        }
    }

    fn show(&self, range: Range<usize>) -> String {
        // A line of megabytes is not cleaned to the end for its first 500 characters; what colours take of
        // it is far less than the rest.
        let most = range.start + clean::MATCHED_BYTES * 4;
        let raw = self.bytes.get(range.start..range.end.min(most));
        let raw = match raw {
            // A progress bar's end is what counts.
            Some(raw) if range.end > most => {
                memchr::memrchr(b'\r', self.bytes.get(range.clone()).unwrap_or_default())
                    .and_then(|turn| {
                        self.bytes
                            .get(range.start + turn..range.end.min(range.start + turn + most))
                    })
                    .filter(|last| last.len() > 1)
                    .or(Some(raw))
            }
            raw => raw,
        };
        clean::line(raw.unwrap_or_default())
    }

    /// The deciding line with what is around it in its step.
    fn around(&self, scan: &Scan, hit: &Hit, rules: &LogRules) -> Reading {
        let step = scan.step_of(hit);
        let first = hit.line.saturating_sub(ABOVE).max(step.start);
        let last = (hit.line + BELOW).min(step.end.saturating_sub(1).max(hit.line));
        let begin = scan.offset_of(self.bytes, first);
        let number = self.number_at(begin);
        let mut lines: Vec<LogLine> = Vec::new();
        let mut deciding = 0;
        let rest = self.bytes.get(begin..).unwrap_or_default();
        for (index, range) in (first..=last).zip(clean::line_ranges(rest)) {
            let range = begin + range.start..begin + range.end;
            let line = self.line(range, number.map(|number| number + (index - first)));
            let repeated = lines.last().is_some_and(|before| before.text == line.text);
            if index == hit.line {
                if repeated {
                    lines.pop();
                }
                deciding = lines.len();
            } else if repeated || (line.text.trim().is_empty() && lines.is_empty()) {
                continue;
            }
            lines.push(line);
            if lines.len() == MAX_EXCERPT_LINES {
                break;
            }
        }
        while lines.len() > deciding + 1
            && lines.last().is_some_and(|line| line.text.trim().is_empty())
        {
            lines.pop();
        }
        let rule = rules.rule(hit.rule);
        Reading {
            file: self.log.file.clone(),
            class: rule.map_or(CauseClass::Unclassified, |rule| rule.class),
            rule: rule.map(|rule| rule.name.to_string()),
            score: hit.weight + scan.closeness(hit),
            ends_badly: scan.ends_badly(),
            deciding,
            whole_line: self.whole(scan.offset_of(self.bytes, hit.line)),
            lines,
        }
    }

    fn whole(&self, begin: usize) -> String {
        let rest = self.bytes.get(begin..).unwrap_or_default();
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        clean::cut(&self.show(begin..begin + length), clean::MATCHED_BYTES)
    }

    /// The last lines that are not noise, for a log in which nothing decides.
    fn last_lines(&self, scan: &Scan, rules: &LogRules) -> Option<Reading> {
        let mut picked: Vec<(Range<usize>, bool)> = Vec::new();
        let mut spare: Option<Range<usize>> = None;
        let mut end = self.bytes.len();
        let mut before = String::new();
        while picked.len() < LAST && end > scan.range().start {
            let body = self.bytes.get(..end)?;
            let body = body.strip_suffix(b"\n").unwrap_or(body);
            let start = memchr::memrchr(b'\n', body)
                .map_or(0, |newline| newline + 1)
                .max(scan.range().start);
            let range = start..body.len().max(start);
            end = start;
            let text = self.show(range.clone());
            if text.trim().is_empty() || text == before {
                continue;
            }
            let matched = clean::text_without_stamps(&text).as_bytes();
            let matched = clean::matched(matched);
            if rules.is_noise(matched) {
                spare = spare.or(Some(range));
                continue;
            }
            picked.push((range, rules.meaning(matched).rule.is_some()));
            before = text;
        }
        if picked.is_empty() {
            picked.push((spare?, false));
        }
        picked.reverse();
        // The last line that says that something failed, else simply the last.
        let last = picked.len() - 1;
        let failed = picked.iter().rposition(|(_, failed)| *failed);
        let deciding = failed.unwrap_or(last);
        let whole_line = picked
            .get(deciding)
            .map(|(range, _)| self.whole(range.start));
        let lines = picked
            .into_iter()
            .map(|(range, _)| {
                let number = self.number_at(range.start);
                self.line(range, number)
            })
            .collect();
        Some(Reading {
            file: self.log.file.clone(),
            class: CauseClass::Unclassified,
            rule: None,
            score: 0,
            ends_badly: scan.ends_badly(),
            deciding,
            whole_line: whole_line.unwrap_or_default(),
            lines,
        })
    }
}

impl Scan {
    /// Whether any rule, of a cause or of a consequence, finds a line near the end.
    fn ends_badly(&self) -> bool {
        let mut hits = self.hits().iter().rev();
        let near = hits.find(|hit| !hit.noise);
        near.is_some_and(|hit| self.below(hit) <= END)
    }

    /// The line that decides; `None` when no rule does.
    fn decide(&self, rules: &LogRules) -> Option<Hit> {
        let counts = |hit: &&Hit| hit.weight >= DECIDES;
        let (retried, all): (Vec<&Hit>, Vec<&Hit>) = self
            .hits()
            .iter()
            .filter(counts)
            .partition(|hit| self.was_retried(hit));
        let working: Vec<&Hit> = all.iter().filter(|hit| !hit.cleanup).copied().collect();
        if let Some(end) = all.iter().find(|hit| rules.is_final(hit.rule)) {
            return Some(**end);
        }
        // What fails while tidying up counts only when nothing failed before.
        let alive = if working.is_empty() { all } else { working };
        let last = *alive.last()?;
        let alive: Vec<&Hit> = alive
            .iter()
            .filter(|hit| !has_recovered(rules, hit, last))
            .copied()
            .collect();
        let best = best_of(step_with(&alive, alive.len().checked_sub(1)?))?;
        if best.weight > VAGUE {
            return Some(*best);
        }
        if let Some(reason) = reason_above(rules, &alive, best) {
            return Some(reason);
        }
        if let Some(reason) = last_try_above(&retried, best) {
            return Some(reason);
        }
        // Some error far from the end, named by its first word only, did not end anything.
        let class = rules.rule(best.rule).map(|rule| rule.class);
        let tells = matches!(class, Some(CauseClass::Test | CauseClass::Compile))
            || self.below(best) <= REASON_WITHIN;
        tells.then_some(*best)
    }

    /// Whether what failed was tried again right after.
    fn was_retried(&self, hit: &Hit) -> bool {
        let retries = self.retries();
        let next = retries.partition_point(|&line| line < hit.line);
        retries.get(next).is_some_and(|&line| line <= hit.line + 2)
    }
}

/// A vague line is only the echo of one above it, if there is one that says more.
fn reason_above(rules: &LogRules, alive: &[&Hit], vague: &Hit) -> Option<Hit> {
    let mut index = alive.partition_point(|hit| hit.line < vague.line);
    while let Some(before) = index.checked_sub(1) {
        let step = step_with(alive, before);
        let reason = best_of(step).filter(|reason| reason.weight > VAGUE);
        if let Some(reason) = reason
            && explains(rules, reason, vague)
        {
            return Some(*reason);
        }
        index = before + 1 - step.len();
    }
    None
}

/// What was tried again and again until a vague line gave up.
fn last_try_above(retried: &[&Hit], vague: &Hit) -> Option<Hit> {
    let tries = retried.iter().rev();
    let mut before = tries.filter(|hit| hit.line < vague.line && hit.weight > VAGUE);
    before
        .next()
        .filter(|hit| vague.line - hit.line <= GAVE_UP_WITHIN)
        .map(|hit| **hit)
}

/// Whether a line may be what a vague one below it speaks of.
fn explains(rules: &LogRules, reason: &Hit, vague: &Hit) -> bool {
    let class = |hit: &Hit| rules.rule(hit.rule).map(|rule| rule.class);
    // The summary of tests or of a build may be far below what it sums up.
    let sums_up = matches!(class(vague), Some(CauseClass::Test | CauseClass::Compile))
        && class(vague) == class(reason);
    sums_up || vague.line - reason.line <= REASON_WITHIN
}

/// What a network or a rate limit refused may have been granted later: when something of another kind fails
/// well after it, that is the reason.
fn has_recovered(rules: &LogRules, hit: &Hit, last: &Hit) -> bool {
    let passing = rules.rule(hit.rule).is_some_and(|rule| {
        matches!(
            rule.class,
            CauseClass::Network | CauseClass::RateLimit | CauseClass::Timeout
        )
    });
    passing
        && hit.rule != last.rule
        && last.step != hit.step
        && last.line > hit.line + RECOVERED_AFTER
}

/// The hits of one step, of which the one at `index` is the last.
fn step_with<'a>(hits: &'a [&'a Hit], index: usize) -> &'a [&'a Hit] {
    let upto = hits.get(..=index).unwrap_or_default();
    let Some(last) = upto.last() else {
        return upto;
    };
    let mut start = index;
    let mut line = last.line;
    for (place, hit) in upto.iter().enumerate().rev() {
        if hit.step != last.step || line - hit.line > GAP {
            break;
        }
        start = place;
        line = hit.line;
    }
    upto.get(start..).unwrap_or_default()
}

/// Of the heaviest, the first.
fn best_of<'a>(hits: &[&'a Hit]) -> Option<&'a Hit> {
    hits.iter().copied().reduce(|best, next| {
        if next.weight > best.weight {
            next
        } else {
            best
        }
    })
}

const _: () = assert!(ABOVE + BELOW < MAX_EXCERPT_LINES as u64 && KEPT_CHARS <= 500);

#[cfg(test)]
mod tests;
