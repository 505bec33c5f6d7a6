//! The little statistics that figures rest on.

/// Two-sided 95 % of a normal distribution.
const Z: f64 = 1.959_963_985;

/// Wilson's 95 % interval of a share, `count` of `all`; (0, 1) of none.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of runs stay far below 2^52"
)]
pub fn wilson(count: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (all as f64, count as f64 / all as f64);
    let z2 = Z * Z;
    let middle = share + z2 / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (
        ((middle - spread) / scale).max(0.0),
        ((middle + spread) / scale).min(1.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        for (count, all, low, high) in [
            (3, 3, 44, 100),
            (9, 10, 60, 98),
            (19, 20, 76, 99),
            (95, 100, 89, 98),
        ] {
            let (from, to) = wilson(count, all);
            assert!(
                (from * 100.0 - f64::from(low)).abs() < 0.5,
                "{count}/{all}: {from}"
            );
            assert!(
                (to * 100.0 - f64::from(high)).abs() < 0.5,
                "{count}/{all}: {to}"
            );
        }
    }
}
