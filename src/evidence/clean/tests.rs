//! What a terminal would show, line by line.

use super::*;

#[test]
fn colours_and_titles_are_gone() {
    assert_eq!(line(b"\x1b[31;1merror\x1b[0m: no"), "error: no");
    assert_eq!(line(b"\x1b]0;title\x07done"), "done");
    assert_eq!(
        line(b"\x1b]8;;https://x.example/\x1b\\link\x1b]8;;\x1b\\"),
        "link"
    );
    assert_eq!(line(b"\x1b(Bplain\x1b=\x1b>"), "plain");
    assert_eq!(line(b"\x1b]0;never ended"), "0;never ended");
    assert_eq!(line(b"cut off \x1b["), "cut off");
}

#[test]
fn a_progress_bar_shows_its_end() {
    assert_eq!(line(b"  1%\r 50%\r100%\r"), "100%");
    assert_eq!(line(b"Downloading\rdone"), "doneloading");
    assert_eq!(line(b"Downloading\r\x1b[Kdone"), "done");
    assert_eq!(line(b"Downloading\x1b[2K\rdone"), "done");
    assert_eq!(line(b"spin /\x08-\x08\\\x08|"), "spin |");
    assert_eq!(line(b"abc\x1b[2Gx\x1b[9999999Gy"), "axcy");
    assert_eq!(line(b"windows\r"), "windows");
}

#[test]
fn what_hides_text_is_gone_and_broken_bytes_are_marked() {
    assert_eq!(
        line("a\u{202e}b\u{200b}c\u{feff}d\u{2066}e".as_bytes()),
        "abcde"
    );
    assert_eq!(line(b"a\0b\x7fc\x01d"), "abcd");
    assert_eq!(line(b"a\tb"), "a\tb");
    assert_eq!(line(b"caf\xe9 ok"), "caf\u{fffd} ok");
    assert_eq!(line("naïve ✓ 漢字".as_bytes()), "naïve ✓ 漢字");
}

#[test]
fn times_before_a_line_are_dropped() {
    for stamped in [
        "2026-11-21T06:41:00.123456Z Error: no",
        "2026-11-21 06:41:00,123 Error: no",
        "[2026-11-21T06:41:00+0000] Error: no",
        "2026/11/21 06:41:00 Error: no",
        "06:41:00 Error: no",
        "[06:41:00.5] Error: no",
        "Sat Nov 21 06:41:00 UTC 2026 Error: no",
        "Nov 21 06:41:00 Error: no",
        "#12 34.567 Error: no",
        "[  12.3s] Error: no",
        "2026-11-21T06:41:00Z 2026-11-21 06:41:00 06:41:00 Error: no",
        "2026-11-21 06:41:00 - Error: no",
    ] {
        assert_eq!(text_without_stamps(stamped), "Error: no", "{stamped}");
    }
    for plain in [
        "Error: no",
        "#12 [build 3/7] RUN make",
        "[INFO] start",
        "2026 was a good year",
        "12:30 lunch",
        "",
    ] {
        assert_eq!(text_without_stamps(plain), plain);
    }
    assert_eq!(
        text_without_stamps("06:41:00     --- FAIL: x"),
        "    --- FAIL: x"
    );
}

#[test]
fn a_block_has_the_lines_of_its_text_each_cleaned() {
    for raw in [
        "a\nb\n",
        "a\nb",
        "",
        "\n",
        "\n\n",
        "a\r\nb\r\n",
        "a\n\x1b[1mb\x1b[0m\n06:41:00 c",
        "06:41:00 a\n\nb\n",
    ] {
        let cleaned = block(raw.as_bytes());
        let expected: Vec<String> = line_ranges(raw.as_bytes())
            .map(|range| text_without_stamps(&line(&raw.as_bytes()[range])).to_owned())
            .collect();
        let found: Vec<String> = line_ranges(&cleaned)
            .map(|range| String::from_utf8_lossy(&cleaned[range]).into_owned())
            .collect();
        assert_eq!(found, expected, "{raw:?}");
    }
    assert!(matches!(
        block(b"plain\nlines\n"),
        std::borrow::Cow::Borrowed(_)
    ));
}

#[test]
fn a_long_line_is_cut_between_words() {
    let words = "word ".repeat(200);
    let cut = kept(&words);
    assert!(cut.chars().count() <= KEPT_CHARS && cut.ends_with("word …"));
    let secret = format!("token {}", "s".repeat(600));
    assert_eq!(kept(&secret), "token …");
    assert_eq!(kept(&"ü".repeat(500)), "ü".repeat(500));
    assert_eq!(kept(&"ü".repeat(501)), "…");
}
