//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `90s`, `1h30m`, `400d`, `250ms`, or `0`.
pub fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_end);
        let millis: u64 = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(
            number.parse::<u64>().ok()?.checked_mul(millis)?,
        ))?;
        rest = tail;
    }
    (!text.trim().is_empty() && total <= Duration::from_secs(100 * 366 * 86_400)).then_some(total)
}

/// Reads `4MiB`, `512KiB`, `1000` (bytes).
pub fn size_bytes(text: &str) -> Option<usize> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(factor)
}

/// Writes a duration so that [`duration`] reads it back: `1h30m`.
pub fn show(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if millis >= size {
            out.push_str(&(millis / size).to_string());
            out.push_str(unit);
            millis %= size;
        }
    }
    if out.is_empty() { "0".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, seconds) in [
            ("0", 0),
            ("5s", 5),
            ("1h30m", 5_400),
            ("48h", 172_800),
            ("400d", 34_560_000),
            ("2w", 1_209_600),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "5",
            "h",
            "5x",
            "-1s",
            "1.5h",
            "99999999999999999999s",
            "999999w",
            "é",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
        for text in ["1h30m", "400d", "250ms", "0"] {
            assert_eq!(show(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("4MiB", 4 << 20),
            ("512KiB", 512 << 10),
            ("1000", 1000),
            ("1 GiB", 1 << 30),
        ] {
            assert_eq!(size_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "4MB", "-1", "99999999999999999999"] {
            assert_eq!(size_bytes(text), None, "{text}");
        }
    }
}
