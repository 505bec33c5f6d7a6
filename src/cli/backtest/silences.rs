//! Silences to try on a history, as the command line and the API print them.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{cli::UsageError, domain::silence::Silence};

/// Reads silences: one object a line, a list, or the API's answer with a list in it.
pub(super) fn read(path: &Path) -> Result<Vec<Silence>, UsageError> {
    let place = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| UsageError(format!("cannot read {place}: {error}")))?;
    let advice = "write what `silence list --all --format json` prints";
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(&text).into_iter() {
        let value: Value =
            value.map_err(|error| UsageError(format!("{place} is not JSON: {error}")))?;
        found.extend(listed(value));
    }
    if found.is_empty() {
        return Err(UsageError(format!("{place} has no silence: {advice}")));
    }
    let read = (1..).zip(found).map(|(number, value)| {
        serde_json::from_value(value).map_err(|error| {
            UsageError(format!(
                "cannot read silence {number} of {place}: {error}; {advice}"
            ))
        })
    });
    read.collect()
}

fn listed(mut value: Value) -> Vec<Value> {
    let inside = value.get_mut("silences").map(Value::take);
    match inside.unwrap_or(value) {
        Value::Array(all) => all,
        one => vec![one],
    }
}
