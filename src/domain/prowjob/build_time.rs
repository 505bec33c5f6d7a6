//! Build ids are snowflakes: they tell when a run's pod was made, and their order is that of time.

use jiff::Timestamp;

/// From when on they count, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_288_834_974_657;
/// Bits below the time.
const BELOW: u32 = 22;
/// Digits of any such id from 2016 to 2068.
const DIGITS: usize = 19;

/// When the run of a build id began. `None` for ids that are counted otherwise.
pub fn of(build_id: &str) -> Option<Timestamp> {
    if build_id.len() != DIGITS || !build_id.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis = build_id.parse::<i64>().ok()? >> BELOW;
    Timestamp::from_millisecond(millis + EPOCH_MS).ok()
}

/// The lowest build id of a moment, as long as all are.
pub fn first(at: Timestamp) -> String {
    let millis = (at.as_millisecond() - EPOCH_MS).max(0);
    let id = millis.checked_mul(1 << BELOW).unwrap_or(i64::MAX);
    format!("{id:0DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_tells_its_time_and_sorts_by_it() {
        let at: Timestamp = "2026-08-20T10:00:00Z".parse().unwrap();
        let id = first(at);
        assert_eq!((of(&id), id.len()), (Some(at), DIGITS));
        let later = first("2026-08-20T10:00:01Z".parse().unwrap());
        assert!(id < later);
        assert_eq!(
            of("2090378317919162368")
                .map(|at| at.strftime("%F").to_string())
                .as_deref(),
            Some("2026-08-20")
        );
        for odd in [
            "",
            "42",
            "latest-build.txt",
            "209037831791916236x",
            "20903783179191623680",
        ] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
