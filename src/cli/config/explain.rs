//! `config explain`: of each value what is in effect, which layer set it, and what that overrode.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cli::{Format, UsageError, out},
    config::{
        Config,
        settings::{SETTINGS, Setting, Standing},
        shown,
    },
    domain::nearest,
};

/// Prints the settings whose key is `key` or begins with it; all of them without one.
pub(super) fn run(config: &Config, key: Option<&str>, format: Format) -> Result<()> {
    let asked = asked(key)?;
    match format {
        Format::Json => {
            for setting in asked {
                out::line(&as_json(config, setting).to_string());
            }
        }
        Format::Text => {
            for (index, setting) in asked.iter().enumerate() {
                if index > 0 {
                    out::line("");
                }
                as_text(config, setting);
            }
        }
    }
    Ok(())
}

fn asked(key: Option<&str>) -> Result<Vec<&'static Setting>> {
    let key = key.unwrap_or_default();
    let below = |setting: &&Setting| {
        let rest = setting.key.strip_prefix(key);
        rest.is_some_and(|rest| key.is_empty() || rest.is_empty() || rest.starts_with('.'))
    };
    let found: Vec<&Setting> = SETTINGS.iter().filter(below).collect();
    if found.is_empty() {
        let hint = nearest::hint(key, SETTINGS.iter().map(|setting| setting.key));
        return Err(UsageError(format!(
            "there is no setting `{key}`{hint}; `config explain` without a key shows all"
        ))
        .into());
    }
    Ok(found)
}

fn as_text(config: &Config, setting: &Setting) {
    let standing = config.layers.standing(setting.key);
    let (value, overrode) = match standing.split_last() {
        Some((last, before)) => (shown::value(&last.texts), before),
        None => ("(not set)".to_owned(), &[][..]),
    };
    let key = out::styled(out::BOLD, setting.key);
    out::line(&format!("{key} = {}", out::printable(&value)));
    out::line(&out::styled(out::DIM, &format!("  {}", setting.doc)));
    if let Some(last) = standing.last() {
        out::line(&out::printable(&format!("  set by    {}", last.origin)));
    }
    for before in overrode.iter().rev() {
        let line = format!(
            "  overrode  {}  {}",
            shown::value(&before.texts),
            before.origin
        );
        out::line(&out::printable(&line));
    }
}

fn as_json(config: &Config, setting: &Setting) -> Value {
    let standing = config.layers.standing(setting.key);
    let one = |standing: &Standing| json!({ "value": shown::value(&standing.texts), "origin": standing.origin });
    let (last, before) = match standing.split_last() {
        Some((last, before)) => (Some(last), before),
        None => (None, &[][..]),
    };
    json!({
        "key": setting.key,
        "doc": setting.doc,
        "value": last.map(|last| shown::value(&last.texts)),
        "origin": last.map(|last| &last.origin),
        "overrode": before.iter().rev().map(one).collect::<Vec<_>>(),
    })
}
