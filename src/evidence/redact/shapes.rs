//! Secrets that are known by their looks, wherever they stand: tokens with a prefix, signed addresses,
//! webhooks, credentials in addresses and headers.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::{MASK, looks_random};

/// A pattern and what of a match stays.
struct Shape {
    regex: Regex,
    /// With `[redacted]` in it.
    replacement: String,
    /// Matches of which it holds stay as they are.
    innocent: fn(&Captures<'_>) -> bool,
}

/// Short minima on purpose: the window that was read may end within a token.
const TOKENS: &str = r"(?x)
    gh[pousr]_[A-Za-z0-9_]{4,} | github_pat_[A-Za-z0-9_]{4,}
  | gl(?:pat|ptt|rt|soat|dt|cbt|ft|imt|agent|oas|ffct)-[A-Za-z0-9_.-]{6,}
  | xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{4,} | xapp-[A-Za-z0-9-]{4,}
  | AIza[A-Za-z0-9_-]{6,} | ya29\.[A-Za-z0-9_.-]{6,} | \b1//0[A-Za-z0-9_-]{16,} | GOCSPX-[A-Za-z0-9_-]{4,}
  | A(?:KIA|SIA)[A-Z0-9]{5,}
  | (?:IQoJb3JpZ2lu|FwoGZXIvYXdz|FQoGZXIvYXdz)[A-Za-z0-9+/=%]*
  | npm_[A-Za-z0-9]{16,} | pypi-[A-Za-z0-9_-]{20,} | rubygems_[0-9a-f]{6,} | \boy2[a-z0-9]{20,}
  | \bhv[sbr]\.[A-Za-z0-9_-]{6,} | \b[sb]\.[A-Za-z0-9]{24}\b
  | [srp]k_(?:live|test)_[A-Za-z0-9]{4,} | whsec_[A-Za-z0-9+/=]{4,}
  | \bSG\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)? | \bSK[0-9a-f]{16,} | xkeysib-[A-Za-z0-9-]{6,} | \bkey-[0-9a-f]{16,}
  | do[opr]_v1_[0-9a-f]{4,} | \bsk-(?:ant|proj|svcacct|or)-[A-Za-z0-9_-]{6,} | \bsk-[A-Za-z0-9]{20,}
  | [A-Za-z0-9]{10,}\.atlasv1\.[A-Za-z0-9_-]* | \bsq[upa]_[0-9a-f]{8,} | \bAKC[A-Za-z0-9]{16,} | \bcmVm[A-Za-z0-9]{24,}
  | dckr_[a-z]{3}_[A-Za-z0-9_-]{6,} | \bdapi[0-9a-f]{16,} | \bhf_[A-Za-z0-9]{16,} | glsa_[A-Za-z0-9_]{6,} | \bglc_[A-Za-z0-9+/=]{10,}
  | NRAK-[A-Z0-9]{6,} | shp(?:at|ss|ca|pa)_[0-9a-f]{6,} | lin_api_[A-Za-z0-9]{6,} | PMAK-[0-9a-f-]{10,}
  | sntry[su]_[A-Za-z0-9_=+/-]{6,} | ATATT3[A-Za-z0-9_=-]{6,} | ATBB[A-Za-z0-9]{20,} | secret_[A-Za-z0-9]{40,}
  | AGE-SECRET-KEY-1[A-Z0-9]* | \b[0-9]{8,10}:[A-Za-z0-9_-]{35}
  | \b[MNO][A-Za-z0-9_-]{16,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{20,}
  | \beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_=+/-]*){0,4}[A-Za-z0-9_=+/-]*
  | LS0tLS1CRUdJTi[A-Za-z0-9+/=]*
  | \bPRIVATE\ KEY-----\\n.*
";

/// Long words, which are judged by themselves, and checksums, so that their parts are not taken for such.
const RANDOM: &str = r"\b(?:h1:|sha[0-9]+[-:])[A-Za-z0-9+/=]+|[A-Za-z0-9_-]{32,}";

const ADDRESS_USER: &str =
    r#"(?i)(?P<keep>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s/?\#'"<>`]*|[^\s/:@'"<>`]+:[^\s'"<>`]*)@"#;

/// Users of addresses that are no secret.
const PLAIN_USERS: [&str; 9] = [
    "git",
    "hg",
    "svn",
    "ssh",
    "root",
    "ubuntu",
    "ec2-user",
    "core",
    "anonymous",
];

const WEBHOOKS: &str = r#"(?ix)
    (?P<keep> \b (?: hooks\.slack(?:-gov)?\.com
      | (?:[a-z]+\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks
      | [a-z0-9.-]*webhook\.office\.com | outlook\.office(?:365)?\.com/webhook
      | hooks\.zapier\.com | chat\.googleapis\.com/v1/spaces | events\.pagerduty\.com/integration
      | api\.telegram\.org | [a-z0-9.-]*logic\.azure\.com | maker\.ifttt\.com | hooks\.[a-z0-9.-]+
      | [a-z0-9.-]*mattermost[a-z0-9.-]*/hooks ) (?::\d+)? / ) [^\s"'<>`\\]+ "#;

const PARAMETERS: &str = r#"(?ix)
    (?P<keep> (?: [?&;] | \\u0026 | %26 | %3F )
      (?: x-(?:amz|goog)-(?:signature|credential|security-token|signedheaders) | x-amz-[a-z-]*token
        | sig | signature | [a-z_-]*token | [a-z_-]*key | awsaccesskeyid | key-pair-id | policy | googleaccessid
        | code | [a-z_-]*secret | passw(?:or)?d | pwd | auth | jwt | sas | hash | hmac )
      (?: = | %3D ) )
    (?P<value> [^&\s"'<>\#`\\]+ ) "#;

const HEADERS: &str = r#"(?ix)
    (?P<keep> \b (?: (?:proxy-)?authorization | (?:set-)?cookie | x-[a-z-]*(?:token|key|secret|auth|signature)[a-z0-9-]*
        | x-[a-z-]*-api | fastly-key | private-token | job-token | deploy-token | circle-token | dd-api-key | dd-application-key | api-key | apikey )
      (?: \\*["'] )? \s* [:=] \s* (?: \\*["'\[] )*
      (?: (?:bearer|basic|token|negotiate|digest|apikey|genie-?key|splunk|sso-key|bot|aws4-hmac-sha256) \s+ )? )
    (?P<value> [^\s"'\\\[\]][^"'\\]* ) "#;

static SHAPES: LazyLock<Vec<Shape>> = LazyLock::new(|| {
    let never: fn(&Captures<'_>) -> bool = |_| false;
    [
        // From `-----BEGIN` to its end, or to the end of the line when that is cut off.
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*-----|$)",
            "[redacted]",
            never,
        ),
        (WEBHOOKS, "${keep}[redacted]", never),
        (ADDRESS_USER, "${keep}[redacted]@", plain_user),
        (PARAMETERS, "${keep}[redacted]", plain_parameter),
        (HEADERS, "${keep}[redacted]", plain_header),
        (
            r"(?i)(?P<keep>\b(?:bearer|basic|genie-?key)\s+)(?P<value>[A-Za-z0-9._~+/=-]{8,})",
            "${keep}[redacted]",
            |found| !looks_random(value(found)) && value(found).len() < 20,
        ),
        (
            r"(?P<keep>\b(?:Signature|Credential)=)[A-Za-z0-9/_+=.%-]{6,}",
            "${keep}[redacted]",
            never,
        ),
        (TOKENS, MASK, never),
        (RANDOM, MASK, |found| {
            let word = found.get(0).map_or("", |word| word.as_str());
            word.contains(':') || word.starts_with("sha") || !is_jumbled(word)
        }),
    ]
    .into_iter()
    .filter_map(|(pattern, replacement, innocent)| {
        let regex = Regex::new(pattern);
        debug_assert!(regex.is_ok(), "{regex:?}");
        Some(Shape {
            regex: regex.ok()?,
            replacement: replacement.to_owned(),
            innocent,
        })
    })
    .collect()
});

fn value<'t>(found: &Captures<'t>) -> &'t str {
    found.name("value").map_or("", |value| value.as_str())
}

fn plain_user(found: &Captures<'_>) -> bool {
    let user = found.name("user").map_or("", |user| user.as_str());
    // A port and a path with an `@` in it, as in `localhost:8080/pkg@v1`.
    let port_and_path = user
        .split_once(':')
        .and_then(|(_, rest)| rest.split_once('/'))
        .is_some_and(|(port, _)| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()));
    user.is_empty() || port_and_path || PLAIN_USERS.contains(&user)
}

fn plain_parameter(found: &Captures<'_>) -> bool {
    let value = value(found);
    value.starts_with('[') || value.starts_with('$')
}

/// Whether capitals, small letters and digits follow each other as in no name that people or programs give.
fn is_jumbled(word: &str) -> bool {
    let kind = |c: char| {
        (
            c.is_ascii_uppercase(),
            c.is_ascii_lowercase(),
            c.is_ascii_digit(),
        )
    };
    let kinds: Vec<_> = word
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(kind)
        .collect();
    let changes = kinds
        .windows(2)
        .filter(|pair| pair.first() != pair.last())
        .count();
    let has = |wanted| kinds.contains(&wanted);
    let all = has((true, false, false)) && has((false, true, false)) && has((false, false, true));
    all && changes * 5 >= word.len() * 2
}

/// `Authorization: failed` is prose, and so is a header named without its value.
fn plain_header(found: &Captures<'_>) -> bool {
    let keep = found.name("keep").map_or("", |keep| keep.as_str());
    let value = value(found).trim();
    let first = value.split_whitespace().next().unwrap_or_default();
    let prose = value.contains(' ')
        && !looks_random(first)
        && first.chars().all(|c| c.is_ascii_lowercase())
        && !keep.to_ascii_lowercase().contains("cookie");
    prose
        || value.is_empty()
        || value.starts_with(['[', '$'])
        || value.starts_with("redacted]")
        || super::values::is_plain_value(value)
}

/// The line without what is known by its looks.
pub(super) fn redact(line: &str) -> String {
    let mut line = line.to_owned();
    for shape in SHAPES.iter() {
        if !shape.regex.is_match(&line) {
            continue;
        }
        line = shape
            .regex
            .replace_all(&line, |found: &Captures<'_>| {
                if (shape.innocent)(found) {
                    return found.get(0).map_or("", |all| all.as_str()).to_owned();
                }
                let mut new = String::new();
                found.expand(&shape.replacement, &mut new);
                new
            })
            .into_owned();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_compiles() {
        assert_eq!(SHAPES.len(), 9);
    }
}
