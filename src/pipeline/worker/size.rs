//! How many observations go into one transaction: as many as it can hold without taking long. A page of an index that
//! several of them change is written once for all of them, so in a large batch each costs less.

use std::time::Duration;

/// First and at most. Who just took over, or failed, begins small: a database that is slow may not get through more
/// before the lead changes again.
const FIRST: usize = 64;
const MOST: usize = 4096;
/// What is to be noted as sent waits for as long.
const LONG: Duration = Duration::from_millis(500);

/// Observations in the next transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size(usize);

impl Default for Size {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Size {
    pub(super) fn get(self) -> usize {
        self.0
    }

    /// The size after one that came through in this time.
    pub(super) fn after(self, took: Duration) -> Self {
        Self(if took > LONG {
            (self.0 / 2).max(FIRST)
        } else if took < LONG / 2 {
            (self.0 * 2).min(MOST)
        } else {
            self.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size that batches come to when each observation takes so long.
    fn settled(each: Duration) -> usize {
        let took = |size: Size| each * u32::try_from(size.get()).unwrap();
        let sizes =
            std::iter::successors(Some(Size::default()), |size| Some(size.after(took(*size))));
        sizes.map(Size::get).nth(20).unwrap()
    }

    #[test]
    fn batches_grow_until_one_takes_long() {
        for (micros, size) in [
            (1, 4096),
            (100, 4096),
            (200, 2048),
            (1_000, 256),
            (5_000, 64),
            (1_000_000, 64),
        ] {
            assert_eq!(
                settled(Duration::from_micros(micros)),
                size,
                "{micros} µs each"
            );
        }
    }

    #[test]
    fn a_batch_that_takes_too_long_is_followed_by_smaller_ones() {
        let grown = (0..10).fold(Size::default(), |size, _| size.after(Duration::ZERO));
        assert_eq!(grown.get(), MOST);
        assert_eq!(grown.after(LONG).get(), MOST);
        let slow = LONG + Duration::from_millis(1);
        assert_eq!(grown.after(slow).get(), MOST / 2);
        let small = (0..10).fold(grown, |size, _| size.after(slow));
        assert_eq!(small.get(), FIRST);
    }
}
