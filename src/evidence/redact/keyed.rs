//! Secrets that are known by what stands before them: `KEY=value`, `key: value`, `"key": "value"`,
//! `--flag value`, and the commands that take a password.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{
    MASK, looks_random,
    values::{
        SECRET_WORDS, compile, ends_secret, is_ids, is_kubernetes_name, is_plain_for,
        is_plain_value, is_prose, is_version_or_number, speaks_about, unquoted,
    },
};

const VALUE: &str =
    r#"(?P<value>\\+"[^"]*(?:"|$)|"(?:[^"\\]|\\.)*(?:"|$)|\$?'[^']*(?:'|$)|`[^`]*`|[^\s"'`]\S*)"#;

static KEYED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r#"(?i)(?P<lead>^|[^A-Za-z0-9_./:@-]|--?|/:)(?P<key>[A-Za-z0-9_.-]*(?:{SECRET_WORDS})[A-Za-z0-9_.-]*)(?P<close>\\*["']?\]?)(?P<sep>[ \t]*(?:=>|:=|=|:)[ \t]*){VALUE}"#
    ))
});

static FLAG: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r#"(?i)(?P<lead>^|[\s"'`(\[,])(?P<key>--?[A-Za-z0-9_.-]*(?:{SECRET_WORDS}|pass)[A-Za-z0-9_.-]*)(?P<sep>["'],?\s*|,?\s+){VALUE}"#
    ))
});

/// `name` and `value` of one variable, as Kubernetes writes them, on one line.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r#"(?i)(?P<keep>\bname\\*["']?\s*:\s*\\*["']?[A-Za-z0-9_.-]*(?:{SECRET_WORDS})[A-Za-z0-9_.-]*\\*["']?\s*,?\s*\\*["']?value\\*["']?\s*:\s*){VALUE}"#
    ))
});

/// `key value` where the key is a word on its own: netrc, `aws configure set`, `npm config set`, prose.
static SPOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r#"(?i)(?P<keep>(?:^|[\s"'(/:])(?:password|passwd|passphrase|token|secret|[a-z_]*secret[ _]?(?:access[ _]?)?key|[a-z_]*access[ _]key(?:[ _]id)?|[a-z_]*session[ _]token|api[ _-]?key|_authtoken|_password|_auth|private[ _]key)\s+(?P<is>(?:is|was|set\s+to|=)\s*:?\s+)?){VALUE}"#
    ))
});

/// Commands with a secret in a short flag or in a pipe; the secret is `value`.
static COMMANDS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r"(?i)(?P<keep>\blogin\s+\S+\s+password\s+)VALUE",
        r"(?i)(?P<keep>^\s*(?:account|password)\s+)VALUE\s*$",
        r"(?P<keep>\b(?:docker|podman|buildah|skopeo|crane|nerdctl|oras|helm|az|oc|regctl)\b[^|;]*?\blogin\b[^|;]*?\s-p[ =]?\s*)VALUE",
        r"(?P<keep>\b(?:mysql\w*|mariadb[\w-]*)\b.*?\s-p)VALUE",
        r"(?P<keep>\b(?:sshpass|7za?|unzip|zip|redis-cli|mongo\w*|ldap\w+|htpasswd|smbclient)\b.*?\s-[apPw]\s*)VALUE",
        r"(?P<keep>\s-p)(?P<value>'[^']+'|\x22[^\x22]+\x22)",
        r"(?P<keep>\s(?:-u|-U|--user|--proxy-user|--creds|--src-creds|--dest-creds)[ =]?\s*)(?P<value>'[^':]+:[^']*'|\x22[^\x22:]+:[^\x22]*\x22|[^\s:]+:\S+)",
        r"(?P<keep>\becho\s+(?:-n\s+|-e\s+)*)VALUE\s*\|.*(?:--password-stdin|\blogin\b)",
        r"(?P<keep>\bprintf\s+(?:['\x22]?%s(?:\\n)?['\x22]?\s+)?)VALUE\s*\|.*(?:--password-stdin|\blogin\b)",
        r"(?P<keep>\bgh secret set\b.*?(?:--body|-b)[ =])VALUE",
        r"(?P<keep>--from-literal[ =]['\x22]?[A-Za-z0-9_.-]+=)VALUE",
    ]
    .iter()
    .filter_map(|pattern| compile(&pattern.replace("VALUE", VALUE)))
    .collect()
});

/// A key at the beginning of its line whose value is all of the rest, spaces included.
static YAML: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(
        r#"(?i)^(?P<keep>\s*(?:-\s+)?["']?[A-Za-z0-9_.-]*(?:password|passwd|passphrase|cookie)["']?\s*:\s+)(?P<value>\S.*)$"#,
    )
});

/// The line without what its keys give away.
pub(super) fn redact(line: &str) -> String {
    let mut line = line.to_owned();
    for regex in COMMANDS.iter() {
        line = replace(&line, regex, |found| {
            !is_plain_value(unquoted(value(found))) && !is_ids(value(found))
        });
    }
    let rules: [(&LazyLock<Option<Regex>>, Judge); 5] = [
        (&NAMED, |_, found| !is_plain_value(unquoted(value(found)))),
        (&YAML, |_, found| {
            let value = value(found);
            !is_plain_value(unquoted(value)) && !is_prose(value)
        }),
        (&KEYED, is_keyed_secret),
        (&FLAG, |_, found| is_flag_secret(found)),
        (&SPOKEN, |_, found| is_spoken_secret(found)),
    ];
    for (regex, judge) in rules {
        if let Some(regex) = regex.as_ref() {
            let before = line.clone();
            line = replace(&line, regex, |found| judge(&before, found));
        }
    }
    line
}

type Judge = fn(&str, &Captures<'_>) -> bool;

/// Replaces the group `value` of the matches that `judge` takes for secrets. What was judged innocent is
/// looked at again behind its key, because its value may be the next key.
fn replace(line: &str, regex: &Regex, judge: impl Fn(&Captures<'_>) -> bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut at = 0;
    let mut from = 0;
    while let Some(found) = regex.captures_at(line, from) {
        let Some(value) = found.name("value") else {
            break;
        };
        if judge(&found) {
            out.push_str(line.get(at..value.start()).unwrap_or_default());
            out.push_str(&masked(value.as_str()));
            at = value.end();
            from = value.end();
        } else {
            from = value.start();
        }
        // A match that ends where it began cannot happen: values are never empty.
        if from >= line.len() {
            break;
        }
    }
    out.push_str(line.get(at..).unwrap_or_default());
    out
}

/// The mask within the quotes of the value; brackets and commas behind it stay.
fn masked(value: &str) -> String {
    let inner = unquoted(value);
    match value.split_once(inner) {
        Some((open, close)) if !inner.is_empty() && value.len() > inner.len() => {
            format!("{open}{MASK}{close}")
        }
        _ => {
            let kept = value.trim_end_matches(['"', '\'', ')', '}', ']', ',', ';']);
            let tail = value.strip_prefix(kept).unwrap_or_default();
            let tail = tail.get(tail.len().saturating_sub(3)..).unwrap_or_default();
            format!("{MASK}{tail}")
        }
    }
}

fn value<'t>(found: &Captures<'t>) -> &'t str {
    group(found, "value")
}

fn group<'t>(found: &Captures<'t>, name: &str) -> &'t str {
    found.name(name).map_or("", |group| group.as_str())
}

fn is_keyed_secret(line: &str, found: &Captures<'_>) -> bool {
    let (key, sep, raw) = (group(found, "key"), group(found, "sep"), value(found));
    let inner = unquoted(raw);
    // `google-auth==2.38.0`, as pip writes it.
    let pinned = raw.strip_prefix('=').is_some_and(is_version_or_number);
    if pinned
        || speaks_about(key)
        || is_plain_value(inner)
        || is_code(sep, raw)
        || is_plain_for(key, inner)
    {
        return false;
    }
    if !sep.contains(':') || sep.contains('=') {
        return true;
    }
    let quoted_key = !group(found, "close").is_empty();
    let flag = group(found, "lead").starts_with('-');
    if !ends_secret(key) {
        return false;
    }
    if quoted_key || raw.len() != inner.len() || flag {
        return !inner.starts_with(['{', '[']);
    }
    let end = found.name("value").map_or(line.len(), |value| value.end());
    let rest = line.get(end..).unwrap_or_default();
    if sep.ends_with(':') {
        return !is_version_or_number(inner);
    }
    let word = inner.trim_end_matches([',', ';', ')', '.', '}', ']']);
    looks_random(word) || (rest.trim().is_empty() && !is_prose(word) && !word.contains('/'))
}

fn is_flag_secret(found: &Captures<'_>) -> bool {
    let (key, raw) = (group(found, "key"), value(found));
    let inner = unquoted(raw);
    let bare = raw.len() == inner.len();
    !(speaks_about(key)
        || is_plain_value(inner)
        || raw.starts_with(['-', '=', ':', ']', ')', ',', '|', '&', ';'])
        || (bare && is_prose(inner)))
}

fn is_spoken_secret(found: &Captures<'_>) -> bool {
    let raw = value(found);
    let inner = unquoted(raw).trim_end_matches(['.', ',', ';', ')']);
    let said = found.name("is").is_some();
    if is_plain_value(inner) || is_kubernetes_name(inner) || raw.starts_with(['=', ':']) {
        return false;
    }
    let quoted = raw.len() != unquoted(raw).len();
    if said {
        return (quoted && !inner.contains(' ')) || looks_random(inner);
    }
    inner.len() >= 16
        && looks_random(inner)
        && !inner.contains("://")
        && !inner.contains(['(', '=', ':'])
}

/// A line of source code: a comparison, or a call on the right of a spaced `=` or `:=`.
fn is_code(sep: &str, value: &str) -> bool {
    let spaced = sep.starts_with([' ', '\t']) && sep.contains('=');
    let name_end = value
        .find(|c: char| !(c.is_ascii_alphanumeric() || "_.&*".contains(c)))
        .unwrap_or(value.len());
    spaced
        && name_end > 0
        && value
            .get(name_end..)
            .is_some_and(|rest| rest.starts_with('('))
}

static SECRET_NAME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r#"(?i)^(?P<indent>\s*)(?:-\s+)?(?:["']?name["']?\s*:\s*)?["']?(?P<key>[A-Za-z0-9_.-]*(?:{SECRET_WORDS})[A-Za-z0-9_.-]*)["']?(?P<end>\s*:\s*(?:[|>][+-]?[0-9]?)?|,?)\s*$"#
    ))
});

/// What a line says of the lines after it.
pub(super) enum Ahead {
    /// They belong to its key as long as they are indented further than this.
    Block(usize),
    /// The next is the value of the variable that it names.
    Value,
    /// The next is its value.
    Next,
}

/// Whether the secret of a line's key stands in the lines below.
pub(super) fn ahead(line: &str) -> Option<Ahead> {
    if line.trim_end().ends_with('\\') {
        let flag = line.trim_end().trim_end_matches('\\').trim_end();
        let last = flag.rsplit(char::is_whitespace).next()?;
        let is_secret = last.starts_with("--") && ends_secret(last) && !speaks_about(last);
        return is_secret.then_some(Ahead::Next);
    }
    let found = SECRET_NAME.as_ref()?.captures(line)?;
    let (key, end) = (group(&found, "key"), group(&found, "end"));
    let named = line.to_ascii_lowercase().contains("name");
    if !ends_secret(key) || speaks_about(key) && !named {
        return None;
    }
    if end.contains(['|', '>']) {
        return Some(Ahead::Block(group(&found, "indent").len()));
    }
    if end.contains(':') {
        return Some(Ahead::Next);
    }
    named.then_some(Ahead::Value)
}
