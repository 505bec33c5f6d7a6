//! "Did you mean": the nearest known word to a mistyped one.

/// ` (did you mean X?)`, else the list of what is known.
pub fn hint<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let best = known
        .clone()
        .map(|candidate| (distance(word, candidate), candidate))
        .min();
    match best {
        Some((edits, candidate)) if edits <= 2.max(word.chars().count() / 3) => {
            format!(" (did you mean `{candidate}`?)")
        }
        _ => format!(" (known: {})", known.collect::<Vec<_>>().join(", ")),
    }
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(x != *y))
                .min(*cell + 1)
                .min(left + 1);
            diagonal = *cell;
            left = cost;
            *cell = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_and_a_far_one_is_not() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
        assert_eq!(
            hint("recievers", ["receivers", "routes"].into_iter()),
            " (did you mean `receivers`?)"
        );
        assert_eq!(hint("zzzzzz", ["a", "b"].into_iter()), " (known: a, b)");
    }
}
