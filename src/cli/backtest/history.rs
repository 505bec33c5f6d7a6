//! Recorded runs in the order in which they happened. The files may be in any order: one pass notes when each
//! run began and where it stands (32 bytes a run), a second one reads the runs in that order.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

use super::{
    problems::Problems,
    progress::Progress,
    source::{LinePlace, Source},
};
use crate::{
    domain::{
        observation::{self, Observation, RunName},
        prowjob::State,
        replay::seen_at,
    },
    prow::parse,
};

/// Lines that are looked at to tell lines of JSON from one document over many lines.
const HEAD: u32 = 16;

/// A recorded history.
#[derive(Debug)]
pub(super) struct History {
    sources: Vec<Source>,
    entries: Vec<Entry>,
    /// Runs of documents that had to be read whole.
    held: Vec<Option<Observation>>,
    /// What could not be read.
    pub(super) problems: Problems,
}

/// When a run was first to be seen, in milliseconds since 1970, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    at: i64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Line {
        source: u16,
        line: u32,
        offset: u64,
        length: u32,
    },
    Held(u32),
}

/// What the daemon would have seen of a run at one moment.
#[derive(Debug)]
pub(super) struct Sighting {
    /// When.
    pub(super) at: Timestamp,
    /// The run as it was then.
    pub(super) run: Observation,
    /// Whether there is no later sighting of this line: its end, or all that is recorded.
    pub(super) last: bool,
}

impl History {
    /// Finds out which runs there are; the length of the files is the measure of progress.
    pub(super) fn read(files: &[PathBuf], progress: &Progress) -> Result<Self> {
        let mut history = Self {
            sources: Vec::new(),
            entries: Vec::new(),
            held: Vec::new(),
            problems: Problems::default(),
        };
        for file in files {
            let mut source = Source::open(file)?;
            progress.begin("reading", source.size);
            if is_lines(&mut source)? {
                history.index_lines(&mut source, progress)?;
            } else {
                let bytes = source.whole()?;
                let name = source.name.clone();
                history.hold(&bytes, &name, None);
            }
            history.sources.push(source);
        }
        history.entries.sort_unstable();
        Ok(history)
    }

    /// How many runs are recorded.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn index_lines(&mut self, source: &mut Source, progress: &Progress) -> Result<()> {
        let (mut line, mut number) = (Vec::new(), 0);
        while let Some(place) = source.next_line(&mut line, number)? {
            number = place.number;
            progress.at(place.offset);
            if !line.trim_ascii().is_empty() && !self.index_line(&line, place) {
                self.hold(&line, &source.name, Some(number));
            }
        }
        Ok(())
    }

    /// Notes a line that holds one ProwJob in good order; says no to anything else.
    fn index_line(&mut self, line: &[u8], place: LinePlace) -> bool {
        let (Some(at), Ok(source), Ok(length)) = (
            Dates::first(line),
            u16::try_from(self.sources.len()),
            u32::try_from(place.length),
        ) else {
            return false;
        };
        self.entries.push(Entry {
            at: at.as_millisecond(),
            place: Place::Line {
                source,
                line: place.number,
                offset: place.offset,
                length,
            },
        });
        true
    }

    /// Reads all runs of a document or of one line of it, and keeps them.
    fn hold(&mut self, bytes: &[u8], name: &str, line: Option<u32>) {
        let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
        let parsed = match parse::document(bytes, observation::Source::File, Timestamp::UNIX_EPOCH)
        {
            Ok(parsed) => parsed,
            Err(error) => return self.problems.add(format!("{place}: {error}")),
        };
        for problem in parsed.problems {
            self.problems.add(format!("{place}: {problem}"));
        }
        for run in parsed.observations {
            let Some(at) = first_seen(&run) else {
                self.problems.add(format!(
                    "{place}: run {} has neither startTime nor completionTime",
                    run.run
                ));
                continue;
            };
            let Ok(index) = u32::try_from(self.held.len()) else {
                return self
                    .problems
                    .add(format!("{place}: more runs than can be held"));
            };
            self.held.push(Some(run));
            self.entries.push(Entry {
                at: at.as_millisecond(),
                place: Place::Held(index),
            });
        }
    }

    /// Calls `each` for everything that was to be seen, in its order in time. Of a finished run that is its start
    /// and its end, as a daemon sees them.
    pub(super) fn replay(&mut self, mut each: impl FnMut(&Sighting) -> Result<()>) -> Result<()> {
        let mut running: BTreeMap<(Timestamp, RunName, usize), Observation> = BTreeMap::new();
        let mut bytes = Vec::new();
        for index in 0..self.entries.len() {
            let Some(run) = self.run_at(index, &mut bytes)? else {
                continue;
            };
            let begun = first_seen(&run).unwrap_or(Timestamp::UNIX_EPOCH);
            // What ends as another one begins ends first: the one may be the cause of the other.
            while let Some(entry) = running.first_entry().filter(|entry| entry.key().0 <= begun) {
                each(&last_sighting(entry.remove()))?;
            }
            if run.is_finished() && seen_at(&run) > begun {
                let run = see_begin(run, begun, &mut each)?;
                let key = (seen_at(&run), run.run.clone(), index);
                running.insert(key, run);
            } else {
                each(&last_sighting(run))?;
            }
        }
        running
            .into_values()
            .try_for_each(|run| each(&last_sighting(run)))
    }

    /// Reads the run of an entry; `None` when it turns out to be none.
    fn run_at(&mut self, index: usize, bytes: &mut Vec<u8>) -> Result<Option<Observation>> {
        match self.entries.get(index).map(|entry| entry.place) {
            Some(Place::Line {
                source,
                line,
                offset,
                length,
            }) => {
                let Some(source) = self.sources.get_mut(usize::from(source)) else {
                    return Ok(None);
                };
                source.part(offset, length as usize, bytes)?;
                let read =
                    parse::observation(bytes, observation::Source::File, Timestamp::UNIX_EPOCH);
                if let Err(error) = &read {
                    let problem = format!("{}:{line}: {error}", source.name);
                    self.problems.add(problem);
                }
                Ok(read.ok())
            }
            Some(Place::Held(index)) => Ok(usize::try_from(index)
                .ok()
                .and_then(|index| self.held.get_mut(index)?.take())),
            None => Ok(None),
        }
    }
}

/// Shows a run as it began: what only its end told is not known yet. Gives it back whole.
fn see_begin(
    mut run: Observation,
    at: Timestamp,
    each: &mut impl FnMut(&Sighting) -> Result<()>,
) -> Result<Observation> {
    let state = std::mem::replace(&mut run.state, State::Pending);
    let description = std::mem::take(&mut run.description);
    let (completed_at, seen_at) = (run.completed_at.take(), run.seen_at);
    run.seen_at = at;
    let sighting = Sighting {
        at,
        run,
        last: false,
    };
    each(&sighting)?;
    Ok(Observation {
        seen_at,
        state,
        description,
        completed_at,
        ..sighting.run
    })
}

fn last_sighting(mut run: Observation) -> Sighting {
    let at = seen_at(&run);
    run.seen_at = at;
    Sighting {
        at,
        run,
        last: true,
    }
}

/// When there was something to be seen of a run.
fn first_seen(run: &Observation) -> Option<Timestamp> {
    run.started_at.into_iter().chain(run.completed_at).min()
}

/// Whether the file is lines of JSON, and not one document over many.
fn is_lines(source: &mut Source) -> Result<bool> {
    let (mut line, mut number, mut lines) = (Vec::new(), 0, false);
    while let Some(place) = source
        .next_line(&mut line, number)?
        .filter(|_| number < HEAD)
    {
        number = place.number;
        let text = line.trim_ascii();
        if matches!(text, b"{" | b"[") {
            break;
        }
        if matches!(text.first(), Some(b'{' | b'['))
            && serde_json::from_slice::<IgnoredAny>(text).is_ok()
        {
            lines = true;
            break;
        }
    }
    source.seek(0)?;
    Ok(lines)
}

/// The times of a ProwJob, and whether it is one at all.
#[derive(Deserialize)]
struct Dates<'a> {
    #[serde(borrow)]
    metadata: Created<'a>,
    #[serde(borrow)]
    status: Times<'a>,
    items: Option<IgnoredAny>,
    object: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    #[serde(borrow)]
    creation_timestamp: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times<'a> {
    #[serde(borrow)]
    start_time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    completion_time: Option<Cow<'a, str>>,
}

impl Dates<'_> {
    /// When there was something to be seen; `None` for what the tolerant reader has to look at.
    fn first(line: &[u8]) -> Option<Timestamp> {
        let dates: Dates<'_> = serde_json::from_slice(line).ok()?;
        if dates.items.is_some() || dates.object.is_some() {
            return None;
        }
        let time = |text: Option<Cow<'_, str>>| text?.parse::<Timestamp>().ok();
        let started =
            time(dates.status.start_time).or_else(|| time(dates.metadata.creation_timestamp));
        let ended = time(dates.status.completion_time);
        let first = started.into_iter().chain(ended).min()?;
        (first > Timestamp::UNIX_EPOCH).then_some(first)
    }
}
