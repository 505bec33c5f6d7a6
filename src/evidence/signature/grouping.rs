//! Second look at signatures: templates that differ in a few letters are one cause. What is remembered is
//! bounded, and so is the work, whatever comes in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{of_template, template};
use crate::domain::evidence::{CauseClass, Signature};

/// New signatures of one class within a day. What comes after them shares one.
pub const NEW_A_DAY: u32 = 200;
/// Templates of one class that are compared with; those not seen for longest are forgotten.
pub const MAX_KNOWN: usize = 400;
/// Searches for a similar template in one class within a day.
pub const SEARCHES_A_DAY: u32 = 500;
/// Aliases of one class.
const MAX_ALIASES: usize = 2_000;
/// Shorter templates differ by their letters.
const SHORTEST: usize = 40;
/// What is compared of a template, in bytes.
const COMPARED: usize = 500;
/// Edit distances that are computed in one search.
const EXACT_CHECKS: usize = 8;
/// Counters of 4-grams.
const BUCKETS: usize = 64;
/// One edit changes at most four 4-grams, each out of one bucket and into another.
const L1_PER_EDIT: usize = 8;

/// Signatures seen so far, by class. Plain data: whoever has it keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signatures {
    classes: BTreeMap<CauseClass, Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    /// The day the counts are of.
    day: i64,
    new: u32,
    searches: u32,
    overflowed: u64,
    known: BTreeMap<Signature, Known>,
    /// From a signature to the canonical one; never rewritten.
    aliases: BTreeMap<Signature, Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    template: String,
    last_day: i64,
}

/// What a search did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) bounds: usize,
    pub(super) exact: usize,
}

impl Signatures {
    /// The signature under which a deciding line counts. `day` is any number that grows by one a day; a day
    /// that has passed counts as the latest.
    pub fn canonical(&mut self, class: CauseClass, line: &str, day: i64) -> Signature {
        self.canonical_of(class, &template(class, line), day)
    }

    fn canonical_of(&mut self, class: CauseClass, template: &str, day: i64) -> Signature {
        let own = of_template(class, template);
        let group = self.classes.entry(class).or_default();
        group.begin(day);
        if let Some(known) = group.known.get_mut(&own) {
            known.last_day = group.day;
            return own;
        }
        if let Some(canonical) = group.aliases.get(&own).cloned() {
            group.touch(&canonical);
            return canonical;
        }
        let similar = names_the_victim(class).then(|| group.similar(template));
        if let Some(canonical) = similar.flatten() {
            group.touch(&canonical);
            if group.aliases.len() < MAX_ALIASES {
                group.aliases.insert(own, canonical.clone());
            }
            return canonical;
        }
        if group.new >= NEW_A_DAY {
            group.overflowed += 1;
            return Self::overflow(class);
        }
        group.add(own.clone(), template);
        own
    }

    /// The signature shared by all that came in a class after the day's [`NEW_A_DAY`].
    pub fn overflow(class: CauseClass) -> Signature {
        of_template(class, "<too many>")
    }

    /// How often that one was given, over all classes; more than none is worth an alarm.
    pub fn overflowed(&self) -> u64 {
        self.classes.values().map(|group| group.overflowed).sum()
    }

    /// Canonical signatures that are remembered.
    pub fn len(&self) -> usize {
        self.classes.values().map(|group| group.known.len()).sum()
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a signature stands for; `None` for one that is not canonical or is forgotten.
    pub fn template(&self, signature: &Signature) -> Option<&str> {
        let mut groups = self.classes.values();
        let known = groups.find_map(|group| group.known.get(signature))?;
        Some(&known.template)
    }
}

impl Group {
    fn begin(&mut self, day: i64) {
        if day > self.day || self.known.is_empty() {
            self.day = day;
            self.new = 0;
            self.searches = 0;
        }
    }

    fn touch(&mut self, signature: &Signature) {
        if let Some(known) = self.known.get_mut(signature) {
            known.last_day = self.day;
        }
    }

    fn add(&mut self, signature: Signature, template: &str) {
        self.new += 1;
        if self.known.len() >= MAX_KNOWN {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.last_day);
            if let Some(oldest) = oldest.map(|(signature, _)| signature.clone()) {
                self.known.remove(&oldest);
                self.aliases.retain(|_, canonical| *canonical != oldest);
            }
        }
        let known = Known {
            template: template.to_owned(),
            last_day: self.day,
        };
        self.known.insert(signature, known);
    }

    fn similar(&mut self, template: &str) -> Option<Signature> {
        if template.len() < SHORTEST || self.searches >= SEARCHES_A_DAY {
            return None;
        }
        self.searches += 1;
        let known = self
            .known
            .iter()
            .map(|(key, known)| (key, &*known.template));
        search(template, known).0.cloned()
    }
}

/// Whether what differs in two lines is likely to be who was hit. In what people write, code and
/// configuration, a line names the culprit, and one letter makes another cause.
fn names_the_victim(class: CauseClass) -> bool {
    match class {
        CauseClass::ImageBuild
        | CauseClass::Registry
        | CauseClass::Auth
        | CauseClass::RateLimit
        | CauseClass::Network
        | CauseClass::Disk
        | CauseClass::OutOfMemory
        | CauseClass::Timeout
        | CauseClass::Git
        | CauseClass::Infrastructure => true,
        CauseClass::Compile
        | CauseClass::Test
        | CauseClass::Dependency
        | CauseClass::Configuration
        | CauseClass::Unclassified => false,
    }
}

/// The nearest of the known templates that is near enough, and what finding it took.
fn search<'a, K>(
    template: &str,
    known: impl Iterator<Item = (&'a K, &'a str)>,
) -> (Option<&'a K>, Work) {
    let mut work = Work::default();
    let (grams, own) = (Grams::of(template), anchors(template));
    let mut near = Vec::new();
    for (key, other) in known {
        let most = most_edits(template, other);
        if template.len().abs_diff(other.len()) > most {
            continue;
        }
        work.bounds += 1;
        let at_least = grams.distance(&Grams::of(other)) / L1_PER_EDIT;
        if at_least <= most && anchors(other) == own {
            near.push((at_least, key, other, most));
        }
    }
    near.sort_by_key(|&(at_least, ..)| at_least);
    let mut best: Option<(usize, &K)> = None;
    for (_, key, other, most) in near.into_iter().take(EXACT_CHECKS) {
        work.exact += 1;
        let edits = edits_within(compared(template), compared(other), most);
        if let Some(edits) = edits
            && best.is_none_or(|(fewest, _)| edits < fewest)
        {
            best = Some((edits, key));
        }
    }
    (best.map(|(_, key)| key), work)
}

/// Less than a tenth of the mean length.
fn most_edits(a: &str, b: &str) -> usize {
    let mean = usize::midpoint(compared(a).len(), compared(b).len());
    mean.saturating_sub(1) / 10
}

/// What must be equal: words with digits are codes, and upper-case letters within a word make it the name of
/// an error, a test or a variable.
fn anchors(template: &str) -> Vec<&str> {
    template
        .split(|c: char| c.is_whitespace() || ",;()[]{}\"'`".contains(c))
        .map(|word| word.trim_matches([':', '.']))
        .filter(|word| {
            word.bytes().any(|byte| byte.is_ascii_digit())
                || word.contains('_')
                || word.chars().skip(1).any(char::is_uppercase) && !word.contains('<')
        })
        .collect()
}

fn compared(template: &str) -> &[u8] {
    let bytes = template.as_bytes();
    bytes.get(..COMPARED).unwrap_or(bytes)
}

/// How often 4-grams occur, thrown into few buckets.
struct Grams([u16; BUCKETS]);

impl Grams {
    fn of(template: &str) -> Self {
        let mut counts = [0_u16; BUCKETS];
        for gram in compared(template).windows(4) {
            let hash = gram.iter().fold(0_u32, |hash, &byte| {
                hash.wrapping_mul(31).wrapping_add(byte.into())
            });
            // The high bits of a product depend on all of the factors.
            let bucket = (hash.wrapping_mul(0x9e37_79b1) >> 26) as usize;
            if let Some(count) = counts.get_mut(bucket) {
                *count += 1;
            }
        }
        Self(counts)
    }

    fn distance(&self, other: &Self) -> usize {
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(a, b)| usize::from(a.abs_diff(*b))).sum()
    }
}

/// Levenshtein distance in bytes if it is at most `most`; only the band around the diagonal is computed.
fn edits_within(a: &[u8], b: &[u8], most: usize) -> Option<usize> {
    const FAR: usize = usize::MAX / 2;
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len())
        .map(|column| if column <= most { column } else { FAR })
        .collect();
    for (index, x) in a.iter().enumerate() {
        let line = index + 1;
        let first = line.saturating_sub(most).max(1);
        let last = (line + most).min(b.len());
        let mut diagonal = row.get(first - 1).copied().unwrap_or(FAR);
        let mut left = if first == 1 && line <= most {
            line
        } else {
            FAR
        };
        if let Some(cell) = row.get_mut(first - 1) {
            *cell = left;
        }
        let mut least = left;
        for (cell, y) in row
            .iter_mut()
            .zip(std::iter::once(&0).chain(b))
            .take(last + 1)
            .skip(first)
        {
            let above = *cell;
            *cell = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            diagonal = above;
            left = *cell;
            least = least.min(left);
        }
        // The band of the row before ends one column earlier; what lies beyond was never reached.
        if let Some(beyond) = row.get_mut(last + 1) {
            *beyond = FAR;
        }
        if least > most {
            return None;
        }
    }
    row.last().copied().filter(|&edits| edits <= most)
}

#[cfg(test)]
mod tests;
