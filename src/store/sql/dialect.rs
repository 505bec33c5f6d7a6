//! Where PostgreSQL needs other words for the same. What both understand is simply written so.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// SQLite plans without statistics and is told which index to use; PostgreSQL keeps them and knows best.
static INDEX_HINT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r" (?:INDEXED BY \w+|NOT INDEXED)\b").expect("a constant pattern is valid")
});

/// The text of a statement as PostgreSQL takes it.
pub(super) fn to_postgres(sql: &str) -> Cow<'_, str> {
    INDEX_HINT.replace_all(sql, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_for_the_other_planner_are_left_out() {
        let with = "SELECT 1 FROM runs INDEXED BY runs_bad WHERE counts = 1";
        assert_eq!(to_postgres(with), "SELECT 1 FROM runs WHERE counts = 1");
        let without = "SELECT 1 FROM outbox NOT INDEXED JOIN runs";
        assert_eq!(to_postgres(without), "SELECT 1 FROM outbox JOIN runs");
        assert!(matches!(to_postgres("SELECT indexed"), Cow::Borrowed(_)));
    }
}
