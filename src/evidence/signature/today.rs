//! Bounds how many causes a day may bring: a stream of errors that are each new, such as those with a random
//! name nobody masks, is one cause after a while. A signature that was given once is never taken back.

use std::collections::{BTreeMap, BTreeSet};

use super::of_template;
use crate::domain::evidence::{CauseClass, Signature};

/// New signatures of one class within a day. What comes after them shares one.
pub const NEW_A_DAY: usize = 200;

/// The signatures that are new today, by class.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Today {
    /// Any number that grows by one a day.
    day: i64,
    new: BTreeMap<CauseClass, BTreeSet<Signature>>,
}

impl Today {
    /// Whether a signature was given today.
    pub fn has(&self, class: CauseClass, signature: &Signature, day: i64) -> bool {
        let new = self.new.get(&class).filter(|_| day <= self.day);
        new.is_some_and(|new| new.contains(signature))
    }

    /// The signature under which a cause counts that no earlier day has seen: its own, or the one that all share
    /// which come after the day's [`NEW_A_DAY`]. A day that has passed counts as the latest.
    pub fn admit(&mut self, class: CauseClass, own: Signature, day: i64) -> Signature {
        if day > self.day {
            self.day = day;
            self.new.clear();
        }
        let new = self.new.entry(class).or_default();
        if new.contains(&own) {
            return own;
        }
        let shared = Self::shared(class);
        if new.len() >= NEW_A_DAY || own == shared {
            return shared;
        }
        new.insert(own.clone());
        own
    }

    /// The signature of all that is one too many.
    pub fn shared(class: CauseClass) -> Signature {
        of_template(class, "<too many>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASS: CauseClass = CauseClass::Network;

    fn unique(number: usize) -> Signature {
        of_template(CLASS, &number.to_string())
    }

    #[test]
    fn a_day_brings_so_many_causes_and_the_next_brings_more() {
        let mut today = Today::default();
        let mut admit = |number, day| today.admit(CLASS, unique(number), day);
        for number in 0..NEW_A_DAY {
            assert_eq!(admit(number, 7), unique(number));
        }
        assert_eq!(admit(NEW_A_DAY, 7), Today::shared(CLASS));
        assert_eq!(admit(0, 7), unique(0));
        // A clock that is set back brings no room.
        assert_eq!(admit(NEW_A_DAY, 6), Today::shared(CLASS));
        assert_eq!(admit(NEW_A_DAY, 8), unique(NEW_A_DAY));
        assert!(today.has(CLASS, &unique(NEW_A_DAY), 8));
        assert!(!today.has(CLASS, &unique(0), 8));
        assert!(!today.has(CLASS, &unique(NEW_A_DAY), 9));
    }

    #[test]
    fn other_classes_have_room_of_their_own() {
        let mut today = Today::default();
        for number in 0..=NEW_A_DAY {
            today.admit(CLASS, unique(number), 7);
        }
        let git = of_template(CauseClass::Git, "x");
        assert_eq!(today.admit(CauseClass::Git, git.clone(), 7), git);
    }
}
