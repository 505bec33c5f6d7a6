//! Which failures are the same failure: an error line with all that changes from run to run masked, and the
//! hash of what is left. Numbers that mean something, such as exit and HTTP statuses, stay.

mod today;

use std::sync::LazyLock;

use regex::{Captures, Regex};
use sha2::{Digest as _, Sha256};

use super::clean;
use crate::domain::evidence::{CauseClass, Signature};

pub use today::{NEW_A_DAY, Today};

/// Of a template, in characters.
pub const MAX_TEMPLATE_CHARS: usize = 2_000;
/// Of a line, in bytes: what no cause needs to be told.
const MAX_LINE_BYTES: usize = 4 * MAX_TEMPLATE_CHARS;
/// Version of the masks. A change of what they make of a line is a new version.
const VERSION: &str = "v2";
/// Bytes of the hash that are kept: 20 hex digits, no collision within any store.
const HASH_BYTES: usize = 10;
/// Masking what others have put together ends after a few rounds; this is a bound, not a setting.
const MOST_ROUNDS: usize = 8;

/// Patterns and what they become, in this order: what holds others goes first.
const MASKS: &[(&str, &str)] = &[
    (
        r"(?i)\b(?:mon|tue|wed|thu|fri|sat|sun),? \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d(?: ?[-+]\d{4}| GMT| UTC)?",
        "<T>",
    ),
    (
        r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T _]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z\b| ?[-+]\d\d:?\d\d)?)?",
        "<T>",
    ),
    (r"\b\d{8}T\d{6}Z\b", "<T>"),
    (r"\b[IWEF]\d{4} \d\d:\d\d:\d\d(?:\.\d+)?\s+\d+ ", "<T> "),
    (
        r"\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) {1,2}\d{1,2} \d\d:\d\d:\d\d(?: [A-Z]{3,4})?(?: \d{4})?",
        "<T>",
    ),
    (r"\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b", "<T>"),
    (
        r#"\b[a-z][a-z0-9+]*://(?:[^\s/@'"<>]+@)?([^\s/'"<>)\],;:?#]+)[^\s'"<>)\],;]*"#,
        "<URL $1>",
    ),
    (r"\bgit@([\w.-]+):[\w./-]+", "<URL $1>"),
    (r"\bsha(?:256|512|1):[0-9a-fA-F]{12,128}\b", "<SHA>"),
    (r"\bh1:[A-Za-z0-9+/]{20,}=*", "<SHA>"),
    (
        r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "<UUID>",
    ),
    (
        r#"\barn:aws[\w-]*:([\w-]*):[\w-]*:\d{0,12}:[^\s,'")]+"#,
        "<ARN $1>",
    ),
    (
        r"(?i)\b((?:x-)?(?:\w+-)?(?:request|host|trace|correlation)[ _-]?id)[:=]? ?[\w+/=:.-]{8,}",
        "$1 <ID>",
    ),
    (
        r"\b(?:us|eu|ap|sa|ca|me|af|il|cn|mx)-(?:gov-|iso\w?-)?(?:north|south|east|west|central)(?:east|west)?-\d\b",
        "<REGION>",
    ),
    (r"\b0x[0-9a-fA-F]+\b", "<HEX>"),
    (r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<IP>"),
    (
        r"\[[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F]*\](?::\d+)?",
        "<IP>",
    ),
    (
        r"\b(\w[\w./-]*\.(?:go|rs|py|sh|ya?ml|tsx?|jsx?|[cm]js|c|cc|cpp|h|hpp|java|tpl|proto|json|toml)|\w*[Dd]ockerfile|Makefile):\d+(?::\d+)?",
        "$1:<L>",
    ),
    // Where a command ran, not what it missed.
    (
        r"\b(in|cd|directory|workspace) (?:/[\w.@+~-]+)*/[\w@+~-]+(:|,|;|$)",
        "$1 <DIR>$2",
    ),
    (r"(?:/[\w.@+~-]+){2,}/([\w.@+-]+)", "<DIR>/$1"),
    // An image of a release, in the registry's one level of names; deeper ones are what it is built from.
    (
        r"\b(\w[\w.-]*\.[a-z]{2,}(?::\d+)?/[\w.-]+)/[\w.-]+:v?\d+\.\d+\.\d+[\w.-]*",
        "$1/<IMAGE>",
    ),
    (r"(/[\w-]+(?:\.[\w-]+)*):v?\d[\w.-]*", "$1:<TAG>"),
    (
        r"\bv?\d+\.\d+(?:\.\d+)+(?:[-+][0-9A-Za-z][0-9A-Za-z.+-]*[0-9A-Za-z]|[-+][0-9A-Za-z])?",
        "<VER>",
    ),
    (r"\bv\d+\.\d+\b", "<VER>"),
    (
        r"\b([a-z][a-z0-9]*(?:-[a-z0-9]+)*)-[bcdf-hj-np-tv-z24-9]{8,10}-[bcdf-hj-np-tv-z24-9]{5}\b",
        "$1-<POD>",
    ),
    (
        r"\b[a-z0-9]+(?:-[a-z0-9]+)*-(controller|chart)\b",
        "<NAME>-$1",
    ),
    // The object of a manifest; its kind and file stay.
    (r#"\bname: "[\w.-]+""#, "name: <NAME>"),
    (r"\((\d+),(\d+)\): error", "(<L>): error"),
    (r"\b(?:tmp|temp)[._-]?[A-Za-z0-9_]{6,}\b", "<TMP>"),
    (
        r"\b\d+(?:\.\d+)?(?:ns|us|µs|μs|ms|s|m|h|d)(?:\d+(?:\.\d+)?(?:ms|s|m))*\b",
        "<DUR>",
    ),
    (
        r"\b\d+(?:\.\d+)? (?:milliseconds?|seconds?|secs?|minutes?|mins?|hours?|days?)\b",
        "<DUR>",
    ),
    (
        r"\b\d+(?:\.\d+)? ?(?:[KMGTkmgt]i?[Bb]|[KMGT]i?|bytes?|B)\b",
        "<SIZE>",
    ),
    (r"\S{200,}", "<LONG>"),
];

static COMPILED: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    let compile = |&(pattern, mask): &(&str, &'static str)| (fixed(pattern), mask);
    MASKS.iter().map(compile).collect()
});
/// Hexadecimal numbers; words of the letters a to f are none.
static HEX: LazyLock<Regex> = LazyLock::new(|| fixed(r"\b[0-9a-fA-F]{7,128}\b"));
/// Other numbers, but for the first group: what stands for a cause.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    fixed(
        r"(?i)(\b(?:exit(?:ed)?(?: with)?(?: non-zero)? (?:status|code)|status code|status|https?(?:/\d(?:\.\d)?)?|returned error|response code|error code|error|signal|rc|code|curl):?[= ]?\(?\d{1,3}\b|\b[1-5]\d\d (?:too many requests|bad gateway|service (?:temporarily )?unavailable|gateway time-?out|internal server error|unauthorized|forbidden|not found|conflict|unprocessable entity|bad request|gone)|\btls ?v?1\.\d\b)|\b\d+\b",
    )
});
/// Files, packages, modules, images; with a version, if there is one.
static PATH: LazyLock<Regex> = LazyLock::new(|| {
    fixed(r"(?:<DIR>|\b[\w.@~+-]{2,})(?:/(?:[\w.@~+-]|<\w+>)+)+(?:[:@](?:<VER>|<TAG>|<SHA>))?")
});
/// A far end's own words that are about the account, whichever image was asked for and whichever tool passes
/// them on.
static ANSWER: LazyLock<Regex> = LazyLock::new(|| {
    let answers = [
        r"You have reached your (?:\w+ )?pull rate limit",
        r"Your (?:authorization|login) token has expired\. Reauthenticate and try again",
        r"No OpenIDConnect provider found in your account for <URL [^>]+>",
        r"Cannot connect to the Docker daemon",
    ];
    fixed(&answers.join("|"))
});
/// The file in which a dependency was missed, and who wanted it.
static MISSED_AT: LazyLock<Regex> = LazyLock::new(|| {
    fixed(
        r"^(?:go: )?\S+:<L>: | ?\(?\b(?:imported|required|tested) by:? [^\s;)]+\)?|[;:]? to add:.*$",
    )
});
static NUMBERS: LazyLock<Regex> = LazyLock::new(|| fixed(r"<N>(?:[ ,;x/.-]*<N>)+"));

fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a fixed pattern that tests compile")
}

/// What stays of a line wherever and whenever the same thing goes wrong. Of a template it is the template.
pub fn normalise(line: &str) -> String {
    let bytes = line.as_bytes();
    let shown = clean::line(bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes));
    let mut text = squeezed(clean::text_without_stamps(&shown));
    for _ in 0..MOST_ROUNDS {
        let masked = capped(&squeezed(&mask(&text)));
        if masked == text {
            break;
        }
        text = masked;
    }
    text
}

fn mask(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, mask) in COMPILED.iter() {
        if let std::borrow::Cow::Owned(masked) = pattern.replace_all(&text, *mask) {
            text = masked;
        }
    }
    let text = HEX.replace_all(&text, |found: &Captures<'_>| {
        let word = found.get(0).map_or("", |word| word.as_str());
        let digits = word.bytes().any(|byte| byte.is_ascii_digit());
        let letters = word.bytes().any(|byte| byte.is_ascii_alphabetic());
        if digits && letters { "<HEX>" } else { word }.to_owned()
    });
    let text = NUMBER.replace_all(&text, |found: &Captures<'_>| {
        found.get(1).map_or("<N>", |code| code.as_str()).to_owned()
    });
    NUMBERS.replace_all(&text, "<N>").into_owned()
}

fn squeezed(text: &str) -> String {
    let mut squeezed = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !squeezed.is_empty() {
            squeezed.push(' ');
        }
        squeezed.push_str(word);
    }
    squeezed
}

/// The cap falls between words: masks leave no word longer than 200 characters, and half a word may look like
/// something else.
fn capped(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(MAX_TEMPLATE_CHARS) else {
        return text.to_owned();
    };
    let head = text.get(..end).unwrap_or_default();
    head.rsplit_once(' ')
        .map_or(head, |(words, _)| words)
        .to_owned()
}

/// What stays of a line of a class. Where a far end, a disk or the memory gave out, the file or package at
/// hand is only who was hit; a missing dependency is the same wherever it is first missed.
pub fn template(class: CauseClass, line: &str) -> String {
    let template = normalise(line);
    if let Some(answer) = ANSWER.find(&template) {
        return answer.as_str().to_owned();
    }
    match class {
        CauseClass::Dependency => MISSED_AT.replace_all(&template, "").into_owned(),
        CauseClass::Network
        | CauseClass::RateLimit
        | CauseClass::Disk
        | CauseClass::OutOfMemory
        | CauseClass::Timeout
        | CauseClass::Infrastructure => PATH.replace_all(&template, "<PATH>").into_owned(),
        CauseClass::Compile
        | CauseClass::Test
        | CauseClass::ImageBuild
        | CauseClass::Registry
        | CauseClass::Auth
        | CauseClass::Git
        | CauseClass::Configuration
        | CauseClass::Unclassified => template,
    }
}

/// The signature of a deciding line.
pub fn signature(class: CauseClass, line: &str) -> Signature {
    of_template(class, &template(class, line))
}

/// The signature of a template.
pub fn of_template(class: CauseClass, template: &str) -> Signature {
    let hash = Sha256::new()
        .chain_update(class.as_str())
        .chain_update([0])
        .chain_update(template)
        .finalize();
    let kept = hash.iter().copied().take(HASH_BYTES).collect::<Vec<u8>>();
    Signature(format!("{VERSION}:{}", hex::encode(kept)))
}

#[cfg(test)]
mod tests;
