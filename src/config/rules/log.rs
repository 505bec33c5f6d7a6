//! Reads `log_rules`: what a line of a log means. A rule that cannot work is refused here, with its place.

use super::LOG_RULE_KEYS;
use crate::{
    config::{error::Problem, yaml::Node},
    domain::{
        evidence::{CAUSE_CLASSES, CauseClass},
        nearest,
    },
    evidence::{
        clean,
        rules::{self, LogRule, MAX_WEIGHT, USER_WEIGHT},
    },
};

/// One rule. `before` are the rules of the configuration read so far.
pub(super) fn read(node: &Node, before: &[LogRule]) -> Result<LogRule, Problem> {
    let (mut name, mut pattern, mut class) = (None, None, None);
    let (mut weight, mut example) = (USER_WEIGHT, None);
    for (key, _, value) in node.entries("a log rule", &LOG_RULE_KEYS)? {
        let text = value.text(key)?;
        match key.as_str() {
            "name" => name = Some((text, value)),
            "pattern" => pattern = Some((text, value)),
            "class" => class = Some(read_class(text, value)?),
            "weight" => weight = read_weight(text, value)?,
            _ => example = Some((text, value)),
        }
    }
    let missing = |key: &str, hint: &str| {
        let what = format!("a log rule needs a {key}");
        Problem::at(node.place.clone(), what, hint)
    };
    let (name, place) =
        name.ok_or_else(|| missing("name", "add `name: ...`; it is shown with what it finds"))?;
    let (pattern, pattern_node) =
        pattern.ok_or_else(|| missing("pattern", "add `pattern: ...`, a regular expression"))?;
    let class =
        class.ok_or_else(|| missing("class", "add `class: ...`, such as registry or network"))?;
    let mut names = before
        .iter()
        .map(|rule| &*rule.name)
        .chain(rules::builtin().map(|rule| rule.name));
    if names.any(|known| known == name) {
        return Err(Problem::at(
            place.place.clone(),
            format!("a second log rule named `{name}`"),
            "give each rule its own name; the built-in ones have theirs",
        ));
    }
    check_pattern(pattern, pattern_node, example)?;
    Ok(LogRule {
        name: name.to_owned().into(),
        pattern: pattern.to_owned().into(),
        weight,
        class,
    })
}

fn read_class(text: &str, node: &Node) -> Result<CauseClass, Problem> {
    CauseClass::parse(text).ok_or_else(|| {
        let hint = nearest::hint(text, CAUSE_CLASSES.iter().map(|class| class.as_str()));
        Problem::at(
            node.place.clone(),
            format!("unknown class `{text}`{hint}"),
            "",
        )
    })
}

fn read_weight(text: &str, node: &Node) -> Result<u32, Problem> {
    let weight = text
        .parse()
        .ok()
        .filter(|weight| (1..=MAX_WEIGHT).contains(weight));
    weight.ok_or_else(|| {
        Problem::at(
            node.place.clone(),
            format!("weight is `{text}`"),
            "write a number from 1 to 100; a rule decides from 60 on, and the built-in ones end at 99",
        )
    })
}

fn check_pattern(
    pattern: &str,
    node: &Node,
    example: Option<(&str, &Node)>,
) -> Result<(), Problem> {
    let regex = rules::compile(pattern).map_err(|error| {
        Problem::at(
            node.place.clone(),
            format!("this pattern cannot be used: {error}"),
            "write a regular expression as Rust's regex crate reads it; it sees one line, as bytes",
        )
    })?;
    let Some((example, place)) = example else {
        return Ok(());
    };
    let shown = clean::line(example.as_bytes());
    if regex.is_match(clean::text_without_stamps(&shown).as_bytes()) {
        return Ok(());
    }
    Err(Problem::at(
        place.place.clone(),
        "the rule's pattern does not match its example",
        "patterns see a line without the time before it, and without colours",
    ))
}
