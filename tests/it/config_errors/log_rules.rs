//! Mistakes in rules for logs, and a rule that works.

use insta::assert_snapshot;

use super::{check, complaints, home, with, write};

#[test]
fn what_is_wrong_with_a_log_rule_is_told_with_its_place() {
    assert_snapshot!(complaints(&[
        ("bad pattern", "log_rules:\n  - name: a\n    pattern: 'x(y'\n    class: git\n"),
        ("a pattern too large", "log_rules:\n  - name: a\n    pattern: '(?:a{1000}){1000}'\n    class: git\n"),
        ("every line", "log_rules: [ { name: a, pattern: '.*', class: git } ]\n"),
        ("unknown class", "log_rules: [ { name: a, pattern: x, class: registr } ]\n"),
        ("no name", "log_rules: [ { pattern: x, class: git } ]\n"),
        ("no pattern", "log_rules: [ { name: a, class: git } ]\n"),
        ("no class", "log_rules: [ { name: a, pattern: x } ]\n"),
        ("a built-in name", "log_rules: [ { name: disk-full, pattern: x, class: disk } ]\n"),
        ("weight", "log_rules: [ { name: a, pattern: x, class: git, weight: 101 } ]\n"),
        ("example", "log_rules: [ { name: a, pattern: '^quota', class: git, example: 'no quota' } ]\n"),
        ("key", "log_rules: [ { name: a, regex: x, class: git } ]\n"),
    ]), @"");
}

#[test]
fn a_log_rule_whose_example_matches_is_fine() {
    let home = home();
    let rule = "log_rules:\n  - name: mirror\n    pattern: '^mirror \\S+ is behind'\n    class: registry\n    weight: 90\n    example: '06:41:00 mirror eu is behind'\n";
    write(home.path(), "c.yaml", &with(rule));
    check(&home).run().ok();
}
