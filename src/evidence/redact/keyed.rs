//! Secrets that are known by what stands before them: `KEY=value`, `key: value`, `"key": "value"`,
//! `--flag value`, and the commands that take a password.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{MASK, looks_random};

/// Words of keys whose values are secrets.
const SECRET_WORDS: &str = r"passw(?:or)?d|passwd|passphrase|passcode|pwd|secret|token|api[_.-]?key|app[_.-]?key|application[_.-]?key|access[_.-]?key|account[_.-]?key|shared[_.-]?key|storage[_.-]?key|master[_.-]?key|private[_.-]?key|priv[_-]?key|signing[_.-]?key|encryption[_.-]?key|auth[_.-]?key|routing[_.-]?key|integration[_.-]?key|service[_.-]?key|license[_.-]?key|licence[_.-]?key|deploy[_.-]?key|ssh[_.-]?key|rsa[_.-]?key|tls[_.-]?key|client[_.-]?key|hmac|session[_.-]?key|session[_.-]?id|cookie|credential|webhook[_.-]?url|connection[_.-]?string|dockerconfigjson|dockercfg|docker[_-]?auth[_-]?config|[a-z0-9][_-]pass\b|[a-z0-9][_-]pat\b|_auth\b|accesskeyid|sas[_-]?(?:key|url)|dsn|[a-z0-9][_-]creds?\b|[a-z0-9][_-]pin\b|[a-z0-9]_auth[_-]?header|authheader|encryption_secret|npm_key|gpg[_-]?key|kubeconfig[_-]?data|\bpass\b|\bauth\b";

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

fn compile(pattern: &str) -> Option<Regex> {
    let regex = Regex::new(pattern);
    debug_assert!(regex.is_ok(), "{regex:?}");
    regex.ok()
}

/// Ends of keys that speak about a secret without holding it.
const ABOUT: &[&str] = &[
    "file",
    "path",
    "dir",
    "name",
    "url",
    "uri",
    "endpoint",
    "ref",
    "type",
    "ttl",
    "expiry",
    "expiration",
    "expires",
    "expires_in",
    "expires_at",
    "lifetime",
    "duration",
    "count",
    "length",
    "len",
    "version",
    "store",
    "manager",
    "provider",
    "arn",
    "policy",
    "mount",
    "namespace",
    "kind",
    "class",
    "scanner",
    "izer",
    "stdin",
    "enabled",
    "required",
    "server",
    "issuer",
    "audience",
    "format",
    "algorithm",
    "volume",
    "driver",
    "operator",
    "controller",
    "plugin",
    "status",
    "error",
    "reason",
    "limit",
    "usage",
    "budget",
    "selector",
    "mode",
    "method",
    "helper",
    "less",
    "authentication",
    "go",
    "yaml",
    "json",
    "rs",
    "py",
    "ts",
    "js",
    "sh",
];
/// The same ends, of keys that hold it.
const NOT_ABOUT: &[&str] = &[
    "webhook_url",
    "webhook-url",
    "webhookurl",
    "sas_url",
    "dockerconfigjson",
];

/// What follows a key in prose.
const PROSE: &[&str] = &[
    "a",
    "about",
    "access",
    "again",
    "already",
    "an",
    "and",
    "are",
    "argument",
    "as",
    "at",
    "authentication",
    "be",
    "because",
    "but",
    "by",
    "can",
    "cannot",
    "could",
    "denied",
    "does",
    "empty",
    "error",
    "expired",
    "failed",
    "failure",
    "file",
    "flag",
    "for",
    "forbidden",
    "found",
    "from",
    "given",
    "has",
    "have",
    "if",
    "in",
    "instead",
    "invalid",
    "is",
    "it",
    "length",
    "malformed",
    "may",
    "mismatch",
    "missing",
    "must",
    "new",
    "no",
    "none",
    "not",
    "of",
    "ok",
    "on",
    "or",
    "out",
    "provided",
    "required",
    "review",
    "rpc",
    "set",
    "should",
    "string",
    "that",
    "the",
    "this",
    "to",
    "unauthorized",
    "undefined",
    "unexpected",
    "unknown",
    "unset",
    "unsupported",
    "used",
    "using",
    "value",
    "via",
    "was",
    "when",
    "will",
    "with",
    "wrong",
    "you",
    "your",
    "reader",
    "store",
    "stream",
    "request",
    "requests",
    "exchange",
    "endpoint",
    "service",
    "manager",
    "rotation",
    "based",
    "auth",
];

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

fn unquoted(value: &str) -> &str {
    if !value.starts_with(['"', '\'', '\\', '`', '$']) {
        return value;
    }
    let open = value.trim_start_matches('\\');
    let first = open.strip_prefix('$').unwrap_or(open).chars().next();
    let Some(quote @ ('"' | '\'' | '`')) = first else {
        return value;
    };
    let inner = open.trim_start_matches('$');
    let inner = inner.strip_prefix(quote).unwrap_or(inner);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    inner.strip_suffix('\\').unwrap_or(inner)
}

fn is_keyed_secret(line: &str, found: &Captures<'_>) -> bool {
    let (key, sep, raw) = (group(found, "key"), group(found, "sep"), value(found));
    let inner = unquoted(raw);
    if speaks_about(key) || is_plain_value(inner) || is_code(sep, raw) || is_plain_for(key, inner) {
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

/// Whether a key speaks about a secret, like `TOKEN_FILE`, and holds none.
fn speaks_about(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.trim_end_matches(['_', '-', '.']);
    !NOT_ABOUT.iter().any(|end| key.ends_with(end)) && ABOUT.iter().any(|end| key.ends_with(end))
}

static ENDS_SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r"(?i)(?:{SECRET_WORDS})(?:s|[_-]?(?:id|data|base64|b64|value|hash|key|[0-9]+))?$"
    ))
});

fn ends_secret(key: &str) -> bool {
    ENDS_SECRET
        .as_ref()
        .is_some_and(|regex| regex.is_match(key))
}

/// Values that belong to certain keys and are none.
fn is_plain_for(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.trim_start_matches('-');
    let counts =
        key.ends_with("tokens") || key.ends_with("secrets") || key.ends_with("credentials");
    (matches!(key, "pwd" | "oldpwd") && value.starts_with('/'))
        || (counts && value.bytes().all(|byte| byte.is_ascii_digit()))
        || (key == "pass" && (value.starts_with(char::is_uppercase) || !looks_random(value)))
        || (key == "auth" && value.len() < 8)
        || (key == "auth" && is_prose(value))
}

/// What is plainly no secret: nothing, words for yes and no, variables, masks, paths.
pub(super) fn is_plain_value(value: &str) -> bool {
    static PLAIN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        compile(
            r#"(?xi)^(?:
                [\s,;)}\]"']* | (?:true|false|null|nil|none|yes|no|undefined|unset|\(none\)|<nil>|<none>|omitempty|optional|required)[,;)}\]"']*
              | [*x•.\#]+ | [\[<(](?:redacted|masked|hidden|filtered|secret|omitted|set|unset|not\ set|sensitive)[^\]>)]*[\]>)].*
              | \*{3,}.* | \$\{?[a-z_][a-z0-9_]*\}? | \$\{[^}]*\} | \$\(.* | \$\{\{.* | \{\{.* | %[a-z_]+% | <[a-z\ ,_-]+>
              | @?(?:~|\.{1,2})?/(?:run|var|etc|home|root|tmp|mnt|opt|usr|go|secrets?|builder|workspace|logs|data|\.docker|\.kube|\.aws)(?:/[\w.@-]+)*/?
              | (?:~|\.{1,2})/[\w./-]+ | [0-9]{1,3} | =+ | (?:arn:aws|projects/|secret/|vault:|op://)[\w:/.@-]*
              | map\[.* | \\ | \{ | \[ | [|>][+-]?
            )[,;)}\]"']*$"#,
        )
    });
    PLAIN.as_ref().is_some_and(|regex| regex.is_match(value))
}

/// `1000:1000` and `root:root` are users, not a password.
fn is_ids(value: &str) -> bool {
    unquoted(value)
        .split_once(':')
        .is_some_and(|(user, group)| {
            user == group
                || group
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() && group.len() < 6)
        })
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

fn is_version_or_number(value: &str) -> bool {
    let digits = value.trim_start_matches('v');
    matches!(value, "latest" | "main" | "stable" | "edge")
        || (digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.contains(['.', ':'])
            && digits
                .chars()
                .all(|c| c.is_ascii_digit() || ".:-rcbetaalph".contains(c)))
        || (value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_prose(value: &str) -> bool {
    let word = value.split_whitespace().next().unwrap_or_default();
    let word = word.trim_end_matches([',', ';', '.', ':', ')', '"', '\'']);
    PROSE.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Lower-case words with dashes, as names of secrets and of what they belong to are.
fn is_kubernetes_name(value: &str) -> bool {
    let uuid = value.len() == 36 && value.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    !uuid
        && value.contains(['-', '/', '.'])
        && value
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./".contains(c))
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
