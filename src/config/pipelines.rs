//! The `pipelines` lists: stages, what each needs, and what green logs say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use regex::Regex;

use super::{
    error::{Place, Problem},
    rules::{Rules, read_bool, read_duration, read_matchers},
    units,
    yaml::{Kind, Node},
};
use crate::domain::{
    classify::Severity,
    doom::AbortDownstream,
    gaps, nearest,
    overdue::Overdue,
    pipeline::{Need, Pipeline, Signs, Stage},
};

/// Keys of a pipeline.
pub const PIPELINE_KEYS: [&str; 3] = ["name", "match", "stages"];
/// Keys of a stage.
pub const STAGE_KEYS: [&str; 6] = ["name", "needs", "shared", "severity", "overdue", "log"];
/// Keys of an edge.
pub const NEED_KEYS: [&str; 4] = ["stage", "within", "gate", "abort_downstream"];
/// Keys of an edge's learned `within`.
pub const LEARNED_KEYS: [&str; 1] = ["floor"];
/// Keys of a stage's `log`.
pub const LOG_KEYS: [&str; 3] = ["soft_fail", "no_op", "done"];

/// Where the names of a pipeline stand, for checking them once all files are read.
#[derive(Debug, Clone)]
pub struct Places {
    stages: BTreeMap<String, Place>,
    needs: Vec<(String, Place)>,
}

/// Reads one pipeline.
pub(super) fn read(node: &Node) -> Result<(Pipeline, Places), Problem> {
    let mut pipeline = Pipeline {
        name: String::new(),
        matchers: Vec::new(),
        stages: Vec::new(),
    };
    let mut places = Places {
        stages: BTreeMap::new(),
        needs: Vec::new(),
    };
    for (key, _, value) in node.entries("a pipeline", &PIPELINE_KEYS)? {
        match key.as_str() {
            "name" => value.text("name")?.clone_into(&mut pipeline.name),
            "match" => pipeline.matchers = read_matchers(value)?,
            _ => {
                for item in value.items("stages")? {
                    pipeline.stages.push(read_stage(item, &mut places)?);
                }
            }
        }
    }
    if pipeline.name.is_empty() || pipeline.name.contains('|') {
        return Err(Problem::at(
            node.place.clone(),
            "a pipeline needs a name without `|`",
            "add `name: ...`; messages and errors show it",
        ));
    }
    check_edges(&pipeline, &places)?;
    Ok((pipeline, places))
}

fn read_stage(node: &Node, places: &mut Places) -> Result<Stage, Problem> {
    let mut stage = Stage {
        name: String::new(),
        needs: Vec::new(),
        shared: false,
        severity: Severity::Critical,
        signs: Signs::default(),
        overdue: None,
    };
    let mut name_place = node.place.clone();
    for (key, _, value) in node.entries("a stage", &STAGE_KEYS)? {
        match key.as_str() {
            "name" => {
                value.text("name")?.clone_into(&mut stage.name);
                name_place = value.place.clone();
            }
            "needs" => stage.needs = read_needs(value, places)?,
            "shared" => stage.shared = read_bool("shared", value)?,
            "severity" => stage.severity = read_severity(value)?,
            "overdue" => stage.overdue = Some(read_overdue(value)?),
            _ => stage.signs = read_signs(value)?,
        }
    }
    if stage.name.is_empty() || stage.name.contains('|') {
        return Err(Problem::at(
            name_place,
            "a stage needs a name without `|`",
            "add `name: ...`, as a classify rule sets it",
        ));
    }
    if places
        .stages
        .insert(stage.name.clone(), name_place.clone())
        .is_some()
    {
        return Err(Problem::at(
            name_place,
            format!("a second stage named `{}`", stage.name),
            "give each stage its own name",
        ));
    }
    Ok(stage)
}

/// A list of names, or of `{ stage: ..., within: 30m }`.
fn read_needs(node: &Node, places: &mut Places) -> Result<Vec<Need>, Problem> {
    let mut needs = Vec::new();
    for item in node.items("needs")? {
        let mut need = Need {
            stage: String::new(),
            within: None,
            learned: false,
            gate: false,
            patience: None,
            abort_downstream: AbortDownstream::default(),
        };
        let mut place = item.place.clone();
        if let Kind::Text(_) = item.kind {
            item.text("needs")?.clone_into(&mut need.stage);
        } else {
            for (key, _, value) in item.entries("an edge", &NEED_KEYS)? {
                if key == "stage" {
                    value.text("stage")?.clone_into(&mut need.stage);
                    place = value.place.clone();
                } else if key == "gate" {
                    (need.gate, need.patience) = read_gate(value)?;
                } else if key == "abort_downstream" {
                    need.abort_downstream = read_abort(value)?;
                } else {
                    read_within(value, &mut need)?;
                }
            }
        }
        if need.gate && need.within.is_some() {
            let what = format!("`{}` is a gate with a deadline", need.stage);
            let hint = "keep one: how long a person may take is written `gate: 7d`";
            return Err(Problem::at(place, what, hint));
        }
        places.needs.push((need.stage.clone(), place));
        needs.push(need);
    }
    Ok(needs)
}

/// `true`, or how long a person may take: `7d`.
fn read_gate(node: &Node) -> Result<(bool, Option<Duration>), Problem> {
    match node.text("gate")? {
        "true" => Ok((true, None)),
        "false" => Ok((false, None)),
        text => match units::duration(text).filter(|patience| !patience.is_zero()) {
            Some(patience) => Ok((true, Some(patience))),
            None => Err(Problem::at(
                node.place.clone(),
                format!("`gate` is `{text}`"),
                "write true, or how long a person may take, such as 7d",
            )),
        },
    }
}

fn read_abort(node: &Node) -> Result<AbortDownstream, Problem> {
    let text = node.text("abort_downstream")?;
    let problem = |what: String, hint: &str| Err(Problem::at(node.place.clone(), what, hint));
    match text {
        "off" => Ok(AbortDownstream::Off),
        "suggest" => Ok(AbortDownstream::Suggest),
        "on" => Ok(AbortDownstream::On),
        _ => problem(
            format!("unknown `abort_downstream: {text}`"),
            "write suggest, on or off",
        ),
    }
}

/// `30m`, `learned`, or `{ floor: 30m }`, which is learned too.
fn read_within(node: &Node, need: &mut Need) -> Result<(), Problem> {
    let mut within = gaps::FLOOR;
    if let Kind::Text(_) = node.kind {
        need.learned = node.text("within")? == "learned";
        if !need.learned {
            within = read_duration("within", node)?;
        }
    } else {
        need.learned = true;
        for (key, _, value) in node.entries("within", &LEARNED_KEYS)? {
            within = read_duration(key, value)?;
        }
    }
    need.within = Some(within);
    Ok(())
}

fn read_overdue(node: &Node) -> Result<Overdue, Problem> {
    if node.text("overdue")? == "learned" {
        return Ok(Overdue::Learned);
    }
    read_duration("overdue", node).map(Overdue::After)
}

fn read_severity(node: &Node) -> Result<Severity, Problem> {
    let text = node.text("severity")?;
    Severity::parse(text).ok_or_else(|| {
        Problem::at(
            node.place.clone(),
            format!("unknown severity `{text}`"),
            "write critical or non-critical",
        )
    })
}

fn read_signs(node: &Node) -> Result<Signs, Problem> {
    let mut signs = Signs::default();
    for (key, _, value) in node.entries("log", &LOG_KEYS)? {
        let slot = match key.as_str() {
            "soft_fail" => &mut signs.soft_fail,
            "no_op" => &mut signs.no_op,
            _ => &mut signs.done,
        };
        for item in value.items(key)? {
            slot.push(read_pattern(key, item)?);
        }
    }
    Ok(signs)
}

fn read_pattern(key: &str, node: &Node) -> Result<Regex, Problem> {
    let text = node.text(key)?;
    let problem = |what: String| {
        let hint = "write a regular expression that finds one line of the log";
        Problem::at(node.place.clone(), what, hint)
    };
    let pattern = Regex::new(text).map_err(|error| problem(format!("`{key}`: {error}")))?;
    if pattern.is_match("") {
        return Err(problem(format!("`{text}` is found in every line")));
    }
    Ok(pattern)
}

/// Every edge leads to a stage, and none leads back.
fn check_edges(pipeline: &Pipeline, places: &Places) -> Result<(), Problem> {
    for (name, place) in &places.needs {
        if !places.stages.contains_key(name) {
            let hint = nearest::hint(name, places.stages.keys().map(String::as_str));
            let what = format!("pipeline `{}` has no stage `{name}`{hint}", pipeline.name);
            return Err(Problem::at(place.clone(), what, ""));
        }
    }
    for stage in &pipeline.stages {
        if pipeline.upstream(&stage.name).contains(stage.name.as_str())
            && let Some(place) = places.stages.get(&stage.name)
        {
            return Err(Problem::at(
                place.clone(),
                format!("stage `{}` needs itself, over a cycle", stage.name),
                "take one of the edges out",
            ));
        }
    }
    Ok(())
}

/// What only shows once all files are read: names that stand twice, stages that no rule sets.
pub(super) fn check(rules: &Rules, problems: &mut Vec<Problem>) {
    let set: BTreeSet<String> = rules
        .classify
        .iter()
        .filter_map(|rule| rule.set.stage.as_ref())
        .filter(|stage| stage.variables().next().is_none())
        .map(ToString::to_string)
        .collect();
    let open = rules.classify.iter().any(|rule| {
        let stage = rule.set.stage.as_ref();
        stage.is_some_and(|stage| stage.variables().next().is_some())
    });
    let mut seen = BTreeSet::new();
    for (pipeline, places) in rules.pipelines.iter().zip(&rules.pipeline_places) {
        for (name, place) in &places.stages {
            if !seen.insert(name) {
                let what = format!(
                    "stage `{name}` of pipeline `{}` is in another pipeline too",
                    pipeline.name
                );
                problems.push(Problem::at(place.clone(), what, "a stage has one place"));
            } else if !open && !set.contains(name) {
                let hint = nearest::hint(name, set.iter().map(String::as_str));
                let what = format!(
                    "no classify rule sets the stage `{name}`{hint}, so no run ever reaches it"
                );
                problems.push(Problem::at(place.clone(), what, ""));
            }
        }
    }
}
