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
    ]), @r#"
    # bad pattern
    error: c.yaml:3:14: this pattern cannot be used: unclosed group
     3 |     pattern: 'x(y'
       |              ^
      hint: write a regular expression as Rust's regex crate reads it; it sees one line, as bytes

    # a pattern too large
    error: c.yaml:3:14: this pattern cannot be used: Compiled regex exceeds size limit of 1048576 bytes.
     3 |     pattern: '(?:a{1000}){1000}'
       |              ^
      hint: write a regular expression as Rust's regex crate reads it; it sees one line, as bytes

    # every line
    error: c.yaml:1:34: this pattern cannot be used: it matches every line
     1 | log_rules: [ { name: a, pattern: '.*', class: git } ]
       |                                  ^
      hint: write a regular expression as Rust's regex crate reads it; it sees one line, as bytes

    # unknown class
    error: c.yaml:1:44: unknown class `registr` (did you mean `registry`?)
     1 | log_rules: [ { name: a, pattern: x, class: registr } ]
       |                                            ^

    # no name
    error: c.yaml:1:14: a log rule needs a name
     1 | log_rules: [ { pattern: x, class: git } ]
       |              ^
      hint: add `name: ...`; it is shown with what it finds

    # no pattern
    error: c.yaml:1:14: a log rule needs a pattern
     1 | log_rules: [ { name: a, class: git } ]
       |              ^
      hint: add `pattern: ...`, a regular expression

    # no class
    error: c.yaml:1:14: a log rule needs a class
     1 | log_rules: [ { name: a, pattern: x } ]
       |              ^
      hint: add `class: ...`, such as registry or network

    # a built-in name
    error: c.yaml:1:22: a second log rule named `disk-full`
     1 | log_rules: [ { name: disk-full, pattern: x, class: disk } ]
       |                      ^
      hint: give each rule its own name; the built-in ones have theirs

    # weight
    error: c.yaml:1:57: weight is `101`
     1 | log_rules: [ { name: a, pattern: x, class: git, weight: 101 } ]
       |                                                         ^
      hint: write a number from 1 to 100; a rule decides from 60 on, and the built-in ones end at 99

    # example
    error: c.yaml:1:65: the rule's pattern does not match its example
     1 | log_rules: [ { name: a, pattern: '^quota', class: git, example: 'no quota' } ]
       |                                                                 ^
      hint: patterns see a line without the time before it, and without colours

    # key
    error: c.yaml:1:25: unknown key `regex` in a log rule (known: name, pattern, class, weight, example)
     1 | log_rules: [ { name: a, regex: x, class: git } ]
       |                         ^
    "#);
}

#[test]
fn a_log_rule_whose_example_matches_is_fine() {
    let home = home();
    let rule = "log_rules:\n  - name: mirror\n    pattern: '^mirror \\S+ is behind'\n    class: registry\n    weight: 90\n    example: '06:41:00 mirror eu is behind'\n";
    write(home.path(), "c.yaml", &with(rule));
    check(&home).run().ok();
}
