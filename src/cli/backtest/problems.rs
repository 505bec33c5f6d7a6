//! What could not be read, counted in full and described in part.

use crate::cli::out;

/// How many are described.
const DESCRIBED: usize = 20;

/// Lines that were passed over.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// How many.
    pub(super) count: u64,
    described: Vec<String>,
}

impl Problems {
    /// One more, with its place.
    pub(super) fn add(&mut self, problem: String) {
        self.count += 1;
        if self.described.len() < DESCRIBED {
            self.described.push(problem);
        }
    }

    /// Tells them.
    pub(super) fn tell(&self) {
        for problem in &self.described {
            out::say(&format!(
                "{} {}",
                out::styled(out::YELLOW, "warning:"),
                out::printable(problem)
            ));
        }
        let more = self.count - self.described.len() as u64;
        if more > 0 {
            out::say(&format!("and {more} more that could not be read"));
        }
    }
}
