//! Outside text made safe for Slack: escaped, made visible, cut to measure. Nothing else may put text from
//! outside into a message. Rules: <https://docs.slack.dev/messaging/formatting-message-text>.

use std::fmt::Write as _;

use jiff::Timestamp;
use reqwest::Url;

const ELLIPSIS: char = '…';
/// What a character that hides or reorders its neighbours becomes.
const VISIBLE: char = '\u{FFFD}';

/// Length in UTF-16 units. Slack does not say what it counts; no other unit counts more.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Outside text on one line, escaped, at most `max` units long, for mrkdwn and `plain_text` alike.
pub fn inline(raw: &str, max: usize) -> String {
    // Each character becomes at least one unit, so what lies further on is cut in any case.
    let escaped = raw
        .trim()
        .chars()
        .take(max.saturating_add(1))
        .map(one_line)
        .fold(String::new(), escape);
    fit(escaped.trim(), max)
}

/// Outside text as a code span of at most `max` units within the backticks; a dash when there is none.
pub fn code(raw: &str, max: usize) -> String {
    let inside = inline(raw, max);
    if inside.is_empty() {
        "–".to_owned()
    } else {
        format!("`{inside}`")
    }
}

/// One outside line within a code block, its indentation kept, at most `max` units.
pub(super) fn code_line(raw: &str, max: usize) -> String {
    let escaped = raw
        .trim_end()
        .chars()
        .take(max.saturating_add(1))
        .map(one_line)
        .fold(String::new(), escape);
    fit(&escaped, max)
}

/// Outside lines as a code block of at most `max` units within the fences.
pub fn code_block(raw: &str, max: usize) -> String {
    let escaped = raw
        .trim_matches('\n')
        .chars()
        .take(max.saturating_add(1))
        .map(|c| if c == '\n' { c } else { one_line(c) })
        .fold(String::new(), escape);
    format!("```\n{}\n```", fit(&escaped, max))
}

/// Cuts escaped text to `max` units, outside of entities, with an ellipsis.
pub fn fit(escaped: &str, max: usize) -> String {
    if units(escaped) <= max {
        return escaped.to_owned();
    }
    let room = max.saturating_sub(ELLIPSIS.len_utf16());
    let mut kept = String::with_capacity(max);
    let mut used = 0;
    let mut rest = escaped;
    while let Some((token, after)) = first_token(rest) {
        used += units(token);
        if used > room {
            break;
        }
        kept.push_str(token);
        rest = after;
    }
    let mut cut = kept.trim_end().to_owned();
    if max > 0 {
        cut.push(ELLIPSIS);
    }
    cut
}

/// An entity or a character, and what follows.
fn first_token(text: &str) -> Option<(&str, &str)> {
    let first = text.chars().next()?;
    let entity = ENTITIES
        .iter()
        .find(|(_, entity)| first == '&' && text.starts_with(entity));
    let length = entity.map_or(first.len_utf8(), |(_, entity)| entity.len());
    text.split_at_checked(length)
}

/// The three characters that Slack gives a meaning, and how they are written.
pub const ENTITIES: [(char, &str); 3] = [('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")];

fn escape(mut text: String, c: char) -> String {
    match ENTITIES.iter().find(|(raw, _)| *raw == c) {
        Some((_, entity)) => text.push_str(entity),
        // A backtick would close the code around it, or open some.
        None if c == '`' => text.push('\''),
        None if is_deceptive(c) => text.push(VISIBLE),
        None => text.push(c),
    }
    text
}

fn one_line(c: char) -> char {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
        ' '
    } else {
        c
    }
}

/// Whether a character turns the direction of text or cannot be seen: bidi marks, embeddings, overrides
/// and isolates, zero-width characters, fillers, tags.
pub fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF9}'..='\u{FFFB}'
        | '\u{E0000}'..='\u{E007F}')
}

/// A web address that cannot leave a link or a button: http or https, without a user, percent-encoded.
/// `None` for anything else.
pub fn address(raw: &str) -> Option<String> {
    let url = Url::parse(raw.trim()).ok()?;
    let is_web = matches!(url.scheme(), "http" | "https");
    let has_user = !url.username().is_empty() || url.password().is_some();
    if !is_web || has_user {
        return None;
    }
    let mut out = String::with_capacity(raw.len());
    for c in url.as_str().chars() {
        if c.is_ascii_graphic() && !r#"|<>"`\^{}"#.contains(c) {
            out.push(c);
        } else {
            push_encoded(&mut out, c);
        }
    }
    Some(out)
}

/// A link in mrkdwn. `None` when the address is not one, or is longer than `max` units when escaped.
pub fn link(raw: &str, label: &str, max: usize) -> Option<String> {
    let url = address(raw)?.replace('&', "&amp;");
    // In a label `|` is only a character, but older clients split at the last one.
    let label = inline(label, 60).replace('|', "/");
    (units(&url) <= max && !label.is_empty()).then(|| format!("<{url}|{label}>"))
}

/// A moment in the reader's own time zone; clients that cannot do that show UTC.
pub fn date(at: Timestamp) -> String {
    format!(
        "<!date^{}^{{date_short_pretty}} {{time}}|{}>",
        at.as_second(),
        utc(at)
    )
}

/// A moment in UTC, to the minute.
pub fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Percent-encodes all but unreserved characters.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "-._~".contains(c) {
            out.push(c);
        } else {
            push_encoded(&mut out, c);
        }
    }
    out
}

fn push_encoded(out: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        write!(out, "%{byte:02X}").expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_is_escaped_and_stays_on_its_line() {
        for (raw, safe) in [
            ("a & b", "a &amp; b"),
            ("<!channel>", "&lt;!channel&gt;"),
            ("&amp;", "&amp;amp;"),
            ("a\r\nb\tc\u{1b}[31m\u{7f}", "a  b c [31m"),
            (
                "gp\u{202e}fdp.exe\u{2066}\u{200b}",
                "gp\u{fffd}fdp.exe\u{fffd}\u{fffd}",
            ),
            ("`code` ```", "'code' '''"),
            ("  trimmed \n", "trimmed"),
            ("", ""),
        ] {
            assert_eq!(inline(raw, 100), safe, "{raw:?}");
        }
    }

    #[test]
    fn text_is_cut_by_its_escaped_length_outside_entities() {
        for (raw, max, cut) in [
            ("abcdef", 6, "abcdef"),
            ("abcdefg", 6, "abcde…"),
            ("ab&&", 7, "ab…"),
            ("ab&&", 8, "ab&amp;…"),
            ("ab&", 7, "ab&amp;"),
            ("🔴🔴🔴", 6, "🔴🔴🔴"),
            ("🔴🔴🔴", 5, "🔴🔴…"),
            ("🔴🔴🔴", 4, "🔴…"),
            ("ab  cd", 5, "ab…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            let done = inline(raw, max);
            assert_eq!(done, cut, "{raw:?} {max}");
            assert!(units(&done) <= max, "{raw:?} {max}");
        }
    }

    #[test]
    fn code_cannot_be_closed_from_inside() {
        assert_eq!(code("a`b", 10), "`a'b`");
        assert_eq!(code(" ", 10), "–");
        assert_eq!(
            code_block("\n```\n<x>\u{1b}\n", 50),
            "```\n'''\n&lt;x&gt; \n```"
        );
    }

    #[test]
    fn only_web_addresses_become_links_and_none_leaves_its_brackets() {
        for (raw, link_or_none) in [
            (
                "https://p.io/view/gs/b/logs/j/1?a=1&b=2",
                Some("<https://p.io/view/gs/b/logs/j/1?a=1&amp;b=2|Run>"),
            ),
            ("http://p.io", Some("<http://p.io/|Run>")),
            (
                "https://p.io/a|b>c<!channel>\"`",
                Some("<https://p.io/a%7Cb%3Ec%3C!channel%3E%22%60|Run>"),
            ),
            (
                "https://p.io/\u{202e}ü",
                Some("<https://p.io/%E2%80%AE%C3%BC|Run>"),
            ),
            ("javascript:alert(1)", None),
            ("file:///etc/passwd", None),
            ("mailto:a@b", None),
            ("https://user:pass@p.io/", None),
            ("/relative", None),
            ("", None),
        ] {
            assert_eq!(link(raw, "Run", 200).as_deref(), link_or_none, "{raw:?}");
        }
        assert_eq!(link("https://p.io/long", "Run", 10), None);
        assert_eq!(
            link("https://p.io/", "a|<b>", 50).as_deref(),
            Some("<https://p.io/|a/&lt;b&gt;>")
        );
    }

    #[test]
    fn dates_are_shown_in_the_readers_time_and_else_in_utc() {
        let at: Timestamp = "2026-05-19T20:35:11Z".parse().unwrap();
        assert_eq!(
            date(at),
            "<!date^1779222911^{date_short_pretty} {time}|2026-05-19 20:35 UTC>"
        );
    }
}
