//! One pass over a part of a log: where rules match, where steps begin, where something is tried again. Only
//! lines that one automaton finds in whole blocks are looked at one by one.

use std::ops::Range;

use crate::evidence::{
    clean,
    rules::{DECIDES, LogRules, Step},
};

/// The built-in rule whose line follows the one it is about.
const PLACE: &str = "rustc-place";
/// Cleaned and searched at once, in bytes.
const BLOCK: usize = 256 << 10;
/// Hits that are kept. Of more, those nearest to the end count.
const MOST_HITS: usize = 4_096;
/// What a line loses that matches a rule and is noise.
const NOISE_PENALTY: u32 = 40;
/// At most this is added for being near the end, one less per [`CLOSE_LINES`].
const CLOSENESS: u64 = 10;
const CLOSE_LINES: u64 = 20;

/// A line that matches a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// Index of the line within the part, from 0.
    pub(super) line: u64,
    /// Number of the step it is in.
    pub(super) step: usize,
    /// Index of the rule.
    pub(super) rule: usize,
    /// Of the rule, less the penalty for noise.
    pub(super) weight: u32,
    /// Whether its step only tidies up.
    pub(super) cleanup: bool,
    /// Whether it is noise that matches the rule.
    pub(super) noise: bool,
}

/// What one pass has found.
pub(super) struct Scan {
    range: Range<usize>,
    hits: Vec<Hit>,
    retries: Vec<u64>,
    /// Index of the line with which each step begins; the first begins at 0.
    steps: Vec<u64>,
    /// Offset of each block and the index of its first line.
    blocks: Vec<(usize, u64)>,
    lines: u64,
    /// Whether the step at hand, and whether all that follows, only tidies up.
    cleanup: bool,
    last_cleanup: bool,
}

impl Scan {
    /// Reads the lines of `range`, which begins at a line's start.
    pub(super) fn new(bytes: &[u8], range: Range<usize>, rules: &LogRules) -> Self {
        let mut scan = Self {
            range: range.clone(),
            hits: Vec::new(),
            retries: Vec::new(),
            steps: vec![0],
            blocks: Vec::new(),
            lines: 0,
            cleanup: false,
            last_cleanup: false,
        };
        let mut offset = range.start;
        while offset < range.end {
            let end = block_end(bytes, offset, range.end);
            let raw = bytes.get(offset..end).unwrap_or_default();
            scan.blocks.push((offset, scan.lines));
            scan.read_block(&clean::block(raw), rules);
            offset = end;
        }
        scan
    }

    fn read_block(&mut self, block: &[u8], rules: &LogRules) {
        let mut from = 0;
        while let Some(found) = rules.next(block, from) {
            let head = block.get(..found).unwrap_or_default();
            let start = memchr::memrchr(b'\n', head)
                .map_or(0, |newline| newline + 1)
                .max(from);
            let rest = block.get(start..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            self.lines += newlines(block.get(from..start).unwrap_or_default());
            self.read_line(rest.get(..length).unwrap_or_default(), rules);
            from = start + length;
            if from >= block.len() {
                return;
            }
            from += 1;
            self.lines += 1;
        }
        self.lines += newlines(block.get(from..).unwrap_or_default());
    }

    fn read_line(&mut self, line: &[u8], rules: &LogRules) {
        let meaning = rules.meaning(clean::matched(line));
        if let Some(step) = meaning.step {
            self.steps.push(self.lines);
            self.last_cleanup |= step == Step::LastCleanup;
            self.cleanup = self.last_cleanup || step == Step::Cleanup;
        }
        if meaning.retry {
            self.retries.push(self.lines);
        }
        let Some((index, rule)) = meaning
            .rule
            .and_then(|index| Some((index, rules.rule(index)?)))
        else {
            return;
        };
        if rule.name == PLACE {
            self.promote(index, rule.weight);
            return;
        }
        let penalty = if meaning.noise { NOISE_PENALTY } else { 0 };
        self.hits.push(Hit {
            line: self.lines,
            step: self.steps.len(),
            rule: index,
            weight: rule.weight.saturating_sub(penalty),
            cleanup: self.cleanup,
            noise: meaning.noise,
        });
        if self.hits.len() >= 2 * MOST_HITS {
            self.hits.drain(..MOST_HITS);
        }
    }

    /// The line before, if it is an error at all, is one of this rule.
    fn promote(&mut self, rule: usize, weight: u32) {
        if let Some(error) = self.hits.last_mut()
            && error.line + 1 == self.lines
            && error.weight >= DECIDES
        {
            error.rule = rule;
            error.weight = error.weight.max(weight);
        }
    }

    pub(super) fn range(&self) -> &Range<usize> {
        &self.range
    }

    pub(super) fn hits(&self) -> &[Hit] {
        &self.hits
    }

    pub(super) fn retries(&self) -> &[u64] {
        &self.retries
    }

    /// The lines of the step a hit is in, as indexes.
    pub(super) fn step_of(&self, hit: &Hit) -> Range<u64> {
        let at = |step: usize| self.steps.get(step).copied();
        let start = at(hit.step.saturating_sub(1)).unwrap_or(0);
        start..at(hit.step).unwrap_or(u64::MAX)
    }

    /// Lines from a hit to the end.
    pub(super) fn below(&self, hit: &Hit) -> u64 {
        self.lines.saturating_sub(hit.line)
    }

    /// What is added to the score of a line near the end.
    pub(super) fn closeness(&self, hit: &Hit) -> u32 {
        let below = self.below(hit) / CLOSE_LINES;
        u32::try_from(CLOSENESS.saturating_sub(below)).unwrap_or(0)
    }

    /// Where the line of an index begins.
    pub(super) fn offset_of(&self, bytes: &[u8], line: u64) -> usize {
        let block = self.blocks.partition_point(|&(_, first)| first <= line);
        let (offset, first) = block
            .checked_sub(1)
            .and_then(|block| self.blocks.get(block))
            .copied()
            .unwrap_or((self.range.start, 0));
        let Some(skip) = line.checked_sub(first).filter(|&skip| skip > 0) else {
            return offset;
        };
        let rest = bytes.get(offset..self.range.end).unwrap_or_default();
        let newline = usize::try_from(skip - 1)
            .ok()
            .and_then(|skip| memchr::memchr_iter(b'\n', rest).nth(skip));
        newline.map_or(self.range.end, |newline| offset + newline + 1)
    }
}

/// The end of the block from `offset` on: after a newline, or the end of all.
fn block_end(bytes: &[u8], offset: usize, end: usize) -> usize {
    let near = offset + BLOCK;
    if near >= end {
        return end;
    }
    let head = bytes.get(offset..near).unwrap_or_default();
    if let Some(newline) = memchr::memrchr(b'\n', head) {
        return offset + newline + 1;
    }
    let rest = bytes.get(near..end).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(end, |newline| near + newline + 1)
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
