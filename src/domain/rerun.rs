//! Who asked that a run be made again. Prow has no field for it: the description says so until the pod starts, which
//! is seconds, and until then the labels are those of the run that was copied.

use super::{
    observation::{Observation, RunName},
    prowjob::State,
};

/// The label that names the ProwJob of a pod; a copy has that of its original until it has a pod of its own.
const ID_LABEL: &str = "prow.k8s.io/id";

/// A run that is another one again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rerun {
    /// Login of who asked for it; `None` when Prow does not say.
    pub by: Option<String>,
    /// The run that was copied.
    pub of: RunName,
}

impl Rerun {
    /// What a sighting of a run says of that; `None` once its pod has started.
    pub fn of(run: &Observation) -> Option<Self> {
        if !matches!(run.state, State::Triggered | State::Scheduling) {
            return None;
        }
        let told = described(&run.description);
        let told = told.or_else(|| {
            let of = run.labels.get(ID_LABEL)?.clone();
            Some(Self {
                by: None,
                of: RunName(of),
            })
        });
        told.filter(|rerun| rerun.of != run.run && !rerun.of.0.is_empty())
    }

    /// In words.
    pub fn words(&self) -> String {
        let by = self.by.as_deref().unwrap_or("somebody");
        format!("{by} asked to run {} again", self.of)
    }

    /// These words in the reason of a decision.
    pub fn words_in(reason: &str) -> Option<&str> {
        let (_, words) = reason.split_once(": ")?;
        (words.contains(" asked to run ") && words.ends_with(" again")).then_some(words)
    }
}

/// `USER successfully reran NAME.` or `Successfully reran NAME.`, as deck writes it.
fn described(text: &str) -> Option<Rerun> {
    let (by, of) = text
        .strip_prefix("Successfully reran ")
        .map(|of| (None, of))
        .or_else(|| {
            let (by, of) = text.split_once(" successfully reran ")?;
            Some((Some(by.to_owned()), of))
        })?;
    let of = of.strip_suffix('.').unwrap_or(of);
    (!of.contains(char::is_whitespace)).then(|| Rerun {
        by,
        of: RunName(of.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;

    #[test]
    fn the_description_says_who_and_of_what_while_it_lasts() {
        let of = |text: &str| described(text).map(|rerun| (rerun.by, rerun.of.0));
        let bob = Some("bob".to_owned());
        assert_eq!(
            of("bob successfully reran a-1."),
            Some((bob, "a-1".to_owned()))
        );
        assert_eq!(
            of("Successfully reran a-1."),
            Some((None, "a-1".to_owned()))
        );
        for text in ["", "Job triggered.", "bob successfully reran a lot of it."] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn the_words_are_found_again_in_a_reason() {
        let rerun = described("bob successfully reran a-1.").unwrap();
        let reason = format!("still triggered: {}", rerun.words());
        assert_eq!(Rerun::words_in(&reason), Some("bob asked to run a-1 again"));
        for reason in ["still triggered", "", "again: and again"] {
            assert_eq!(Rerun::words_in(reason), None, "{reason}");
        }
    }

    #[test]
    fn a_copied_label_tells_of_a_rerun_until_its_own_pod_starts() {
        let mut run = samples::run("new", "job");
        assert_eq!(Rerun::of(&run), None);
        run.labels.insert(ID_LABEL.to_owned(), "old".to_owned());
        let told = Rerun::of(&run).unwrap();
        assert_eq!(told.words(), "somebody asked to run old again");
        run.state = State::Pending;
        assert_eq!(Rerun::of(&run), None);
        run.state = State::Triggered;
        run.labels.insert(ID_LABEL.to_owned(), "new".to_owned());
        assert_eq!(Rerun::of(&run), None);
    }
}
