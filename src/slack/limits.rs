//! Slack's limits and our own rules on a payload, as a check. The tests and the stand-in hold every message
//! against it. Limits: <https://docs.slack.dev/reference/block-kit/blocks>.

use std::collections::BTreeSet;

use serde_json::Value;

use super::text::{ENTITIES, is_deceptive, units};

/// Blocks per message.
pub const BLOCKS: usize = 50;
/// Characters of all blocks together, counted as JSON. Undocumented; Slack refuses more than about 13,200
/// with `msg_blocks_too_long`.
pub const ALL_BLOCKS: usize = 13_000;
/// Top-level text; above it a message cannot be edited.
pub const TEXT: usize = 4_000;
/// Header.
pub const HEADER: usize = 150;
/// Text of a section, and any text object without a limit of its own.
pub const SECTION: usize = 3_000;
/// Fields of a section.
pub const FIELDS: usize = 10;
/// Text of a field.
pub const FIELD: usize = 2_000;
/// Elements of a context.
pub const CONTEXT: usize = 10;
const ACTIONS: usize = 25;
const BUTTON_TEXT: usize = 75;
const BUTTON_VALUE: usize = 2_000;
const URL: usize = 3_000;
const IDENTIFIER: usize = 255;
const CONFIRM_TITLE: usize = 100;
const CONFIRM_TEXT: usize = 300;
const CONFIRM_BUTTON: usize = 30;
const MARKDOWN: usize = 12_000;
const TABLE_ROWS: usize = 100;
const TABLE_COLUMNS: usize = 20;
const ATTACHMENTS: usize = 20;
const ATTACHMENT_FOOTER: usize = 300;
const ATTACHMENT_ACTIONS: usize = 5;

/// What is wrong with a payload, empty when nothing is. `allowed_mentions` are the only live mentions that
/// may stand in it, such as `<!subteam^S0123>`.
pub fn violations(payload: &Value, allowed_mentions: &[&str]) -> Vec<String> {
    let mut check = Check {
        allowed: allowed_mentions,
        identifiers: BTreeSet::new(),
        markdown: 0,
        found: Vec::new(),
    };
    check.payload(payload);
    check.found
}

/// Length of the blocks as JSON, in UTF-16 units.
pub fn blocks_units(blocks: &Value) -> usize {
    units(&blocks.to_string())
}

struct Check<'a> {
    allowed: &'a [&'a str],
    identifiers: BTreeSet<String>,
    markdown: usize,
    found: Vec<String>,
}

impl Check<'_> {
    fn fail(&mut self, at: &str, what: &str) {
        self.found.push(format!("{at}: {what}"));
    }

    fn require(&mut self, holds: bool, at: &str, what: &str) {
        if !holds {
            self.fail(at, what);
        }
    }

    fn payload(&mut self, payload: &Value) {
        match payload.get("text").and_then(Value::as_str) {
            Some(text) => {
                self.length("text", text, TEXT);
                self.mrkdwn("text", text);
            }
            None => self.fail("text", "missing"),
        }
        for key in ["unfurl_links", "unfurl_media"] {
            let off = payload.get(key) == Some(&Value::Bool(false));
            self.require(off, key, "not false");
        }
        // They would make a bare `@here` from outside live.
        for key in ["link_names", "parse"] {
            self.require(payload.get(key).is_none(), key, "set");
        }
        if let Some(blocks) = payload.get("blocks") {
            self.blocks(blocks);
        }
        if let Some(attachments) = payload.get("attachments") {
            self.attachments(attachments);
        }
    }

    fn blocks(&mut self, blocks: &Value) {
        let list = self.list("blocks", blocks, BLOCKS);
        if blocks_units(blocks) >= ALL_BLOCKS {
            self.fail("blocks", "too long together");
        }
        for (number, block) in list.iter().enumerate() {
            self.block(&format!("blocks[{number}]"), block);
        }
        self.require(self.markdown <= MARKDOWN, "blocks", "too much markdown");
    }

    fn block(&mut self, at: &str, block: &Value) {
        if let Some(id) = block.get("block_id") {
            self.identifier(at, "block_id", id);
        }
        match block.get("type").and_then(Value::as_str) {
            Some("header") => self.header(at, block),
            Some("section") => self.section(at, block),
            Some("context") => self.context(at, block),
            Some("actions") => self.actions(at, block),
            Some("divider") => {}
            Some("markdown") => self.markdown(at, block),
            Some("table") => self.table(at, block),
            // Slack fetches them, which tells others when a message is read, and refuses the message
            // when it cannot.
            Some("image") => self.fail(at, "an image"),
            _ => self.fail(at, "unknown type"),
        }
    }

    fn header(&mut self, at: &str, block: &Value) {
        let text = block.get("text").unwrap_or(&Value::Null);
        self.plain(at, text, HEADER);
    }

    fn section(&mut self, at: &str, block: &Value) {
        let (text, fields) = (block.get("text"), block.get("fields"));
        self.require(
            text.is_some() || fields.is_some(),
            at,
            "neither text nor fields",
        );
        if let Some(text) = text {
            self.text_object(at, text, SECTION);
        }
        if let Some(fields) = fields {
            for field in self.list(at, fields, FIELDS) {
                self.text_object(at, field, FIELD);
            }
        }
        if let Some(accessory) = block.get("accessory") {
            self.button(at, accessory);
        }
    }

    fn context(&mut self, at: &str, block: &Value) {
        let elements = block.get("elements").unwrap_or(&Value::Null);
        for element in self.list(at, elements, CONTEXT) {
            self.text_object(at, element, SECTION);
        }
    }

    fn actions(&mut self, at: &str, block: &Value) {
        let elements = block.get("elements").unwrap_or(&Value::Null);
        for element in self.list(at, elements, ACTIONS) {
            self.button(at, element);
        }
    }

    fn button(&mut self, at: &str, button: &Value) {
        let is_button = button.get("type").and_then(Value::as_str) == Some("button");
        self.require(is_button, at, "not a button");
        self.plain(at, button.get("text").unwrap_or(&Value::Null), BUTTON_TEXT);
        if let Some(id) = button.get("action_id") {
            self.identifier(at, "action_id", id);
        }
        if let Some(value) = button.get("value").and_then(Value::as_str) {
            self.require(units(value) <= BUTTON_VALUE, at, "value too long");
        }
        if let Some(url) = button.get("url").and_then(Value::as_str) {
            self.require(units(url) <= URL, at, "address too long");
            self.address(at, url);
        }
        if let Some(confirm) = button.get("confirm") {
            self.confirm(at, confirm);
        }
    }

    fn confirm(&mut self, at: &str, confirm: &Value) {
        for (key, max) in [
            ("title", CONFIRM_TITLE),
            ("text", CONFIRM_TEXT),
            ("confirm", CONFIRM_BUTTON),
            ("deny", CONFIRM_BUTTON),
        ] {
            self.text_object(at, confirm.get(key).unwrap_or(&Value::Null), max);
        }
    }

    fn markdown(&mut self, at: &str, block: &Value) {
        let text = block
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.require(!text.is_empty(), at, "empty");
        self.markdown += units(text);
        self.mrkdwn(at, text);
    }

    fn table(&mut self, at: &str, block: &Value) {
        let rows = block.get("rows").unwrap_or(&Value::Null);
        for row in self.list(at, rows, TABLE_ROWS) {
            for cell in self.list(at, row, TABLE_COLUMNS) {
                if let Some(text) = cell.get("text").and_then(Value::as_str) {
                    self.escapes(at, text);
                }
            }
        }
    }

    fn attachments(&mut self, attachments: &Value) {
        for attachment in self.list("attachments", attachments, ATTACHMENTS) {
            for key in ["fallback", "text", "title", "pretext", "footer"] {
                if let Some(text) = attachment.get(key).and_then(Value::as_str) {
                    self.mrkdwn("attachments", text);
                    let fits = key != "footer" || units(text) <= ATTACHMENT_FOOTER;
                    self.require(fits, "attachments", "footer too long");
                }
            }
            if let Some(actions) = attachment.get("actions") {
                self.list("attachments", actions, ATTACHMENT_ACTIONS);
            }
            if let Some(blocks) = attachment.get("blocks") {
                self.blocks(blocks);
            }
        }
    }

    fn list<'v>(&mut self, at: &str, value: &'v Value, max: usize) -> &'v [Value] {
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        self.require(!list.is_empty(), at, "empty list");
        self.require(list.len() <= max, at, "too many");
        list
    }

    fn identifier(&mut self, at: &str, key: &str, id: &Value) {
        let id = id.as_str().unwrap_or_default();
        self.require((1..=IDENTIFIER).contains(&units(id)), at, "bad identifier");
        if !self.identifiers.insert(format!("{key}={id}")) {
            self.fail(at, &format!("duplicate {key}"));
        }
    }

    fn length(&mut self, at: &str, text: &str, max: usize) {
        self.require(!text.trim().is_empty(), at, "empty");
        let length = units(text);
        if length > max {
            self.fail(at, &format!("{length} characters, {max} allowed"));
        }
    }

    fn plain(&mut self, at: &str, object: &Value, max: usize) {
        let is_plain = object.get("type").and_then(Value::as_str) == Some("plain_text");
        self.require(is_plain, at, "not plain_text");
        self.text_object(at, object, max);
    }

    fn text_object(&mut self, at: &str, object: &Value, max: usize) {
        let text = object
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.length(at, text, max);
        match object.get("type").and_then(Value::as_str) {
            Some("plain_text") => {
                self.escapes(at, text);
                self.require(!text.contains(['<', '>']), at, "stray < or >");
                self.require(!text.contains('\n'), at, "line break in plain_text");
            }
            Some("mrkdwn") => self.mrkdwn(at, text),
            _ => self.fail(at, "not a text object"),
        }
    }

    /// Text with links, dates, mentions and code.
    fn mrkdwn(&mut self, at: &str, text: &str) {
        self.escapes(at, text);
        self.require(
            text.matches('`').count().is_multiple_of(2),
            at,
            "open code span",
        );
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            self.require(!before.contains('>'), at, "stray >");
            let Some((inside, tail)) = after.split_once('>') else {
                self.fail(at, "stray <");
                return;
            };
            self.bracket(at, inside);
            rest = tail;
        }
        self.require(!rest.contains('>'), at, "stray >");
    }

    fn bracket(&mut self, at: &str, inside: &str) {
        if self.allowed.contains(&format!("<{inside}>").as_str()) || is_date(inside) {
            return;
        }
        if inside.starts_with(['!', '@', '#']) {
            self.fail(at, &format!("live mention <{inside}>"));
        } else if let Some((url, label)) = inside.split_once('|') {
            self.address(at, url);
            self.require(!label.is_empty(), at, "link without a label");
            self.require(!label.contains(['|', '<']), at, "stray | or < in a link");
        } else {
            self.fail(at, "stray <");
        }
    }

    fn address(&mut self, at: &str, url: &str) {
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        let is_clean = url
            .chars()
            .all(|c| c.is_ascii_graphic() && !"|<>\"`".contains(c));
        self.require(is_web && is_clean, at, "not a safe web address");
    }

    /// What holds for every text: only whole entities after `&`, nothing that hides.
    fn escapes(&mut self, at: &str, text: &str) {
        for (_, after) in text
            .match_indices('&')
            .map(|(start, _)| text.split_at(start))
        {
            let whole = ENTITIES.iter().any(|(_, entity)| after.starts_with(entity));
            self.require(whole, at, "raw & or broken entity");
        }
        let hides = |c: char| is_deceptive(c) || (c.is_control() && c != '\n');
        self.require(!text.contains(hides), at, "control or invisible character");
    }
}

/// `!date^1779222911^{date_short_pretty} {time}|2026-05-19 20:35 UTC`
fn is_date(inside: &str) -> bool {
    let Some(rest) = inside.strip_prefix("!date^") else {
        return false;
    };
    let Some((seconds, rest)) = rest.split_once('^') else {
        return false;
    };
    seconds.parse::<i64>().is_ok()
        && rest
            .split_once('|')
            .is_some_and(|(format, fallback)| !format.contains('^') && !fallback.contains('<'))
}

#[cfg(test)]
mod tests;
