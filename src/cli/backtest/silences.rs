//! Silences to try on a history, as the command line and the API print them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::domain::silence::Silence;

/// Reads silences: one object a line, a list, or the API's answer with a list in it.
pub(super) fn read(path: &Path) -> Result<Vec<Silence>> {
    let place = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {place}"))?;
    let mut found = Vec::new();
    for value in serde_json::Deserializer::from_str(&text).into_iter() {
        let value: Value = value.with_context(|| format!("{place} is not JSON"))?;
        found.extend(listed(value));
    }
    if found.is_empty() {
        bail!("{place} has no silence: write what `silence list --all --format json` prints");
    }
    let read = (1..).zip(found).map(|(number, value)| {
        serde_json::from_value(value)
            .with_context(|| format!("{place}: silence {number} of the file cannot be read"))
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
