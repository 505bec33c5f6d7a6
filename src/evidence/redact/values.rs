//! What is told from a key and a value alone: whether the one names a secret, whether the other is one.

use std::sync::LazyLock;

use regex::Regex;

use super::looks_random;

/// Words of keys whose values are secrets.
pub(super) const SECRET_WORDS: &str = r"passw(?:or)?d|passwd|passphrase|passcode|pwd|secret|token|api[_.-]?key|app[_.-]?key|application[_.-]?key|access[_.-]?key|account[_.-]?key|shared[_.-]?key|storage[_.-]?key|master[_.-]?key|private[_.-]?key|priv[_-]?key|signing[_.-]?key|encryption[_.-]?key|auth[_.-]?key|routing[_.-]?key|integration[_.-]?key|service[_.-]?key|license[_.-]?key|licence[_.-]?key|deploy[_.-]?key|ssh[_.-]?key|rsa[_.-]?key|tls[_.-]?key|client[_.-]?key|hmac|session[_.-]?key|session[_.-]?id|cookie|credential|webhook[_.-]?url|connection[_.-]?string|dockerconfigjson|dockercfg|docker[_-]?auth[_-]?config|[a-z0-9][_-]pass\b|[a-z0-9][_-]pat\b|_auth\b|accesskeyid|sas[_-]?(?:key|url)|dsn|[a-z0-9][_-]creds?\b|[a-z0-9][_-]pin\b|[a-z0-9]_auth[_-]?header|authheader|encryption_secret|npm_key|gpg[_-]?key|kubeconfig[_-]?data|\bpass\b|\bauth\b";

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

/// Whether a key speaks about a secret, like `TOKEN_FILE`, and holds none.
pub(super) fn speaks_about(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.trim_end_matches(['_', '-', '.']);
    !NOT_ABOUT.iter().any(|end| key.ends_with(end)) && ABOUT.iter().any(|end| key.ends_with(end))
}

static ENDS_SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(&format!(
        r"(?i)(?:{SECRET_WORDS})(?:s|[_-]?(?:id|data|base64|b64|value|hash|key|[0-9]+))?$"
    ))
});

pub(super) fn ends_secret(key: &str) -> bool {
    ENDS_SECRET
        .as_ref()
        .is_some_and(|regex| regex.is_match(key))
}

/// Values that belong to certain keys and are none.
pub(super) fn is_plain_for(key: &str, value: &str) -> bool {
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

/// `1000:1000` and `root:root` are users, and `date -u +%H:%M` takes a format; none is a password.
pub(super) fn is_ids(value: &str) -> bool {
    if unquoted(value).starts_with("+%") {
        return true;
    }
    unquoted(value)
        .split_once(':')
        .is_some_and(|(user, group)| {
            user == group
                || group
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() && group.len() < 6)
        })
}

pub(super) fn is_version_or_number(value: &str) -> bool {
    let digits = value.trim_start_matches('v');
    matches!(value, "latest" | "main" | "stable" | "edge")
        || (digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.contains(['.', ':'])
            && digits
                .chars()
                .all(|c| c.is_ascii_digit() || ".:-rcbetaalph".contains(c)))
        || (value.len() < 6 && value.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(super) fn is_prose(value: &str) -> bool {
    let word = value.split_whitespace().next().unwrap_or_default();
    let word = word.trim_end_matches([',', ';', '.', ':', ')', '"', '\'']);
    PROSE.iter().any(|known| known.eq_ignore_ascii_case(word))
}

/// Lower-case words with dashes, as names of secrets and of what they belong to are.
pub(super) fn is_kubernetes_name(value: &str) -> bool {
    let uuid = value.len() == 36 && value.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    !uuid
        && value.contains(['-', '/', '.'])
        && value
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./".contains(c))
}

pub(super) fn unquoted(value: &str) -> &str {
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

/// A pattern of ours, which a test shows to compile.
pub(super) fn compile(pattern: &str) -> Option<Regex> {
    let regex = Regex::new(pattern);
    debug_assert!(regex.is_ok(), "{regex:?}");
    regex.ok()
}
