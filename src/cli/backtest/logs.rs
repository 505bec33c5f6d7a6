//! Logs of recorded runs: lines of `{"run": NAME, "log": TEXT}`. Only where each one stands is kept in memory.

use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::Path,
};

use anyhow::Result;
use serde::{Deserialize, de::IgnoredAny};

use super::{problems::Problems, source::Source};
use crate::{cli::UsageError, domain::observation::RunName, evidence::LogText};

/// A file of logs and where in it each run's stands.
#[derive(Debug)]
pub(super) struct Logs {
    source: Source,
    /// By hash of the run's name; of several logs of one run the last one counts.
    places: Vec<(u64, u64, u32)>,
    bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    run: Cow<'a, str>,
    #[serde(rename = "log")]
    _log: IgnoredAny,
}

#[derive(Deserialize)]
struct Line {
    run: String,
    log: String,
}

impl Logs {
    /// Finds out where each log stands.
    pub(super) fn read(path: &Path, problems: &mut Problems) -> Result<Self> {
        let mut source = Source::open(path)?;
        let (mut places, mut line, mut number) = (Vec::new(), Vec::new(), 0);
        let mut first_problem = None;
        while let Some(place) = source.next_line(&mut line, number)? {
            number = place.number;
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Named<'_>>(&line) {
                Ok(named) => {
                    let length = u32::try_from(place.length).unwrap_or(u32::MAX);
                    places.push((hash(&named.run), place.offset, length));
                }
                Err(error) => {
                    let problem = format!(
                        "{}:{number}: not a log, which is {{\"run\": .., \"log\": ..}}: {error}",
                        source.name
                    );
                    first_problem.get_or_insert_with(|| problem.clone());
                    problems.add(problem);
                }
            }
        }
        // A file of something else would only seem to explain nothing.
        if let Some(problem) = first_problem.filter(|_| places.is_empty()) {
            return Err(UsageError(problem).into());
        }
        places.sort_unstable();
        Ok(Self {
            source,
            places,
            bytes: Vec::new(),
        })
    }

    /// The log of a run, when there is one.
    pub(super) fn of(&mut self, run: &RunName) -> Result<Option<LogText>> {
        let wanted = hash(&run.0);
        let end = self.places.partition_point(|(hash, ..)| *hash <= wanted);
        let same = self.places.iter().take(end).rev();
        for &(_, offset, length) in same.take_while(|(hash, ..)| *hash == wanted) {
            self.source.part(offset, length as usize, &mut self.bytes)?;
            let line: Line = serde_json::from_slice(&self.bytes)?;
            if line.run == run.0 {
                return Ok(Some(LogText {
                    file: "build-log.txt".to_owned(),
                    bytes: line.log.into_bytes(),
                    first_line: Some(1),
                    starts_line: true,
                }));
            }
        }
        Ok(None)
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_log_of_a_run_counts_and_bad_lines_are_told() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("logs.ndjson");
        let lines = [
            r#"{"run":"a","log":"first"}"#,
            "",
            r#"{"run":"b"}"#,
            r#"{"log":"line 1\nline 2","run":"c","more":1}"#,
            r#"{"run":"a","log":"second"}"#,
        ];
        fs::write(&file, lines.join("\n")).unwrap();
        let mut problems = Problems::default();
        let mut logs = Logs::read(&file, &mut problems).unwrap();
        let mut log = |run: &str| {
            let log = logs.of(&RunName(run.to_owned())).unwrap();
            log.map(|log| String::from_utf8(log.bytes).unwrap())
        };
        let found = ["a", "b", "c", "d"].map(&mut log);
        let expected = [Some("second"), None, Some("line 1\nline 2"), None];
        assert_eq!(found, expected.map(|text| text.map(str::to_owned)));
        assert_eq!(problems.count, 1);
    }
}
