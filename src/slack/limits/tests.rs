//! Each limit is hit exactly one above its bound, and held at it.

use serde_json::json;

use super::*;

fn with_blocks(blocks: &Value) -> Value {
    json!({"text": "t", "blocks": blocks, "unfurl_links": false, "unfurl_media": false})
}

fn found(blocks: &Value) -> Vec<String> {
    violations(&with_blocks(blocks), &[])
}

fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text})
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": mrkdwn(text)})
}

fn header(text: &str) -> Value {
    json!({"type": "header", "text": {"type": "plain_text", "text": text}})
}

fn button(text: &str, url: &str) -> Value {
    json!({"type": "button", "text": {"type": "plain_text", "text": text}, "url": url})
}

fn actions(elements: &[Value]) -> Value {
    json!([{"type": "actions", "elements": elements}])
}

#[test]
fn a_message_at_each_limit_passes_and_one_above_does_not() {
    let long_url = |length: usize| format!("https://p.io/{}", "x".repeat(length - 13));
    let x = |count: usize| "x".repeat(count);
    for (name, at_limit, above) in [
        ("header", json!([header(&x(150))]), json!([header(&x(151))])),
        (
            "section",
            json!([section(&x(3000))]),
            json!([section(&x(3001))]),
        ),
        (
            "fields",
            json!([{"type": "section", "fields": vec![mrkdwn("x"); 10]}]),
            json!([{"type": "section", "fields": vec![mrkdwn("x"); 11]}]),
        ),
        (
            "field",
            json!([{"type": "section", "fields": [mrkdwn(&x(2000))]}]),
            json!([{"type": "section", "fields": [mrkdwn(&x(2001))]}]),
        ),
        (
            "context",
            json!([{"type": "context", "elements": vec![mrkdwn("x"); 10]}]),
            json!([{"type": "context", "elements": vec![mrkdwn("x"); 11]}]),
        ),
        (
            "actions",
            actions(&vec![button("x", "https://p.io/"); 25]),
            actions(&vec![button("x", "https://p.io/"); 26]),
        ),
        (
            "button text",
            actions(&[button(&x(75), "https://p.io/")]),
            actions(&[button(&x(76), "https://p.io/")]),
        ),
        (
            "button address",
            actions(&[button("x", &long_url(3000))]),
            actions(&[button("x", &long_url(3001))]),
        ),
        (
            "blocks",
            json!(vec![section("x"); 50]),
            json!(vec![section("x"); 51]),
        ),
        (
            "all blocks",
            json!(vec![section(&x(2900)); 4]),
            json!(vec![section(&x(2990)); 5]),
        ),
        (
            "identifier",
            json!([{"type": "divider", "block_id": x(255)}]),
            json!([{"type": "divider", "block_id": x(256)}]),
        ),
        (
            "duplicate identifier",
            json!([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "b"}]),
            json!([{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]),
        ),
        (
            "table",
            json!([{"type": "table", "rows": vec![[{}]; 100]}]),
            json!([{"type": "table", "rows": vec![[{}]; 101]}]),
        ),
        (
            "image",
            json!([{"type": "divider"}]),
            json!([{"type": "image", "image_url": "https://p.io/x.png", "alt_text": "x"}]),
        ),
        ("empty text", json!([section("x")]), json!([section(" ")])),
    ] {
        assert_eq!(found(&at_limit), Vec::<String>::new(), "{name}");
        assert!(!found(&above).is_empty(), "{name}");
    }
}

#[test]
fn outside_text_that_is_not_escaped_is_found_and_safe_text_is_not() {
    for safe in [
        "a &amp; b &lt;x&gt;",
        "<https://p.io/?a=1&amp;b=2|Run>",
        "<!date^1779222911^{date_short_pretty} {time}|2026-05-19 20:35 UTC>",
        "<!subteam^S0123> `code`",
    ] {
        let payload = with_blocks(&json!([section(safe)]));
        let violations = violations(&payload, &["<!subteam^S0123>"]);
        assert_eq!(violations, Vec::<String>::new(), "{safe}");
    }
    for hostile in [
        "a & b",
        "&am…",
        "&nbsp;",
        "a < b",
        "a > b",
        "<!channel>",
        "<!here>",
        "<!everyone>",
        "<@U123>",
        "<#C123>",
        "<!subteam^S0123>",
        "<!date^x^y|z>",
        "<https://p.io>",
        "<javascript:alert(1)|x>",
        "<https://p.io/|<!channel>>",
        "<https://p.io/|>",
        "`open",
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{7}b",
    ] {
        assert!(!found(&json!([section(hostile)])).is_empty(), "{hostile:?}");
        let text = json!({"text": hostile, "unfurl_links": false, "unfurl_media": false});
        assert!(!violations(&text, &[]).is_empty(), "{hostile:?}");
    }
    for hostile in ["a & b", "<!channel>", "a > b", "two\nlines"] {
        assert!(!found(&json!([header(hostile)])).is_empty(), "{hostile:?}");
    }
}

#[test]
fn a_payload_needs_its_text_and_no_previews() {
    let good = json!({"text": "t", "unfurl_links": false, "unfurl_media": false});
    assert_eq!(violations(&good, &[]), Vec::<String>::new());
    for (key, value) in [
        ("text", Value::Null),
        ("text", json!("")),
        ("text", json!("x".repeat(4001))),
        ("unfurl_links", json!(true)),
        ("unfurl_media", Value::Null),
        ("link_names", json!(1)),
        ("parse", json!("full")),
        ("blocks", json!([])),
        ("attachments", json!(vec![json!({}); 21])),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!violations(&bad, &[]).is_empty(), "{key}");
    }
}
