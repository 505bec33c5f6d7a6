//! The list `redact`.

use insta::assert_snapshot;

use super::{GOOD, check, complaints, home, with, write};
use crate::program::program;

#[test]
fn patterns_with_and_without_a_name_are_taken_from_every_file() {
    let home = home();
    write(home.path(), "c.yaml", &with("redact: ['BADGE-[0-9]+']\n"));
    write(
        home.path(),
        "d.yaml",
        "redact: [{ name: internal hosts, pattern: '[a-z]+\\.corp' }]\n",
    );
    check(&home).run().ok();
    let shown = program(&["config", "show", "--config", "c.yaml", "--config", "d.yaml"])
        .within(home.path())
        .run()
        .ok();
    assert!(
        shown.contains("redact (2)\n  BADGE-[0-9]+\n  internal hosts\n"),
        "{shown}"
    );
    assert!(!GOOD.contains("redact"));
}

#[test]
fn a_pattern_that_cannot_work_is_told_with_its_place() {
    assert_snapshot!(complaints(&[
        ("no regular expression", &with("redact:\n  - 'BADGE-[0-9'\n")),
        ("look-around", &with("redact: [{ pattern: '(?<=x)y' }]\n")),
        ("everything", &with("redact: ['.*']\n")),
        ("everything but nothing", &with("redact: ['.+']\n")),
        ("no pattern", &with("redact: [{ name: x }]\n")),
        ("an unknown key", &with("redact: [{ patern: x }]\n")),
        ("too large", &with("redact: ['(?:a{900}){900}']\n")),
    ]), @r"
    # no regular expression
    error: c.yaml:6:5: `BADGE-[0-9` is not a regular expression: unclosed character class
     6 |   - 'BADGE-[0-9'
       |     ^
      hint: Rust's syntax, without look-around: https://docs.rs/regex/latest/regex/#syntax

    # look-around
    error: c.yaml:5:21: `(?<=x)y` is not a regular expression: look-around, including look-ahead and look-behind, is not supported
     5 | redact: [{ pattern: '(?<=x)y' }]
       |                     ^
      hint: Rust's syntax, without look-around: https://docs.rs/regex/latest/regex/#syntax

    # everything
    error: c.yaml:5:10: `.*` matches everything, so no message could give a reason
     5 | redact: ['.*']
       |          ^
      hint: describe what only the secret looks like

    # everything but nothing
    error: c.yaml:5:10: `.+` matches everything, so no message could give a reason
     5 | redact: ['.+']
       |          ^
      hint: describe what only the secret looks like

    # no pattern
    error: c.yaml:5:10: a redact entry needs a pattern
     5 | redact: [{ name: x }]
       |          ^
      hint: add `pattern: ...`, a regular expression

    # an unknown key
    error: c.yaml:5:12: unknown key `patern` in a redact entry (did you mean `pattern`?)
     5 | redact: [{ patern: x }]
       |            ^

    # too large
    error: c.yaml:5:10: `(?:a{900}){900}` is not a regular expression: Compiled regex exceeds size limit of 1048576 bytes.
     5 | redact: ['(?:a{900}){900}']
       |          ^
      hint: Rust's syntax, without look-around: https://docs.rs/regex/latest/regex/#syntax
    ");
}
