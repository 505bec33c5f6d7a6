//! JUnit reports: which tests failed and what they said. Reports are read as a stream, entities of their own
//! are not expanded, and what lies behind the caps is not read.

use quick_xml::{
    Reader,
    escape::unescape,
    events::{BytesRef, BytesStart, Event},
};

use super::clue::{Clue, Lines};
use crate::domain::evidence::{CauseClass, Origin};

/// Bytes of one report that are read.
const LARGEST: usize = 8 << 20;
/// Reports of one run that are read.
const REPORTS: usize = 50;
/// Failed tests that are kept; more are counted.
const TESTS: usize = 20;
/// Bytes of what a failed test says that are kept. Cut at a line, so that no word is cut through.
const SAID: usize = 16 * 1024;
/// Lines shown of the first failed test.
const FIRST_LINES: usize = 20;

/// A failed test.
#[derive(Debug, Default, PartialEq, Eq)]
struct Failed {
    name: String,
    message: String,
    text: String,
}

/// Counts of one report or of all.
#[derive(Debug, Default)]
struct Tally {
    tests: usize,
    failed: usize,
    kept: Vec<Failed>,
}

/// Reads all reports; what cannot be read is said in `notes`.
pub(super) fn read(reports: &[(String, Vec<u8>)], notes: &mut Vec<String>) -> Option<Clue> {
    let mut tally = Tally::default();
    let mut file = None;
    for (path, bytes) in reports.iter().take(REPORTS) {
        let before = tally.failed;
        if let Err(note) = scan(bytes, &mut tally) {
            notes.push(format!("{path} {note}"));
        }
        if tally.failed > before && file.is_none() {
            file = Some(path.clone());
        }
    }
    if reports.len() > REPORTS {
        notes.push(format!("only {REPORTS} JUnit reports were read"));
    }
    clue(file?, &tally)
}

/// The first failed test decides, the others are listed.
fn clue(file: String, tally: &Tally) -> Option<Clue> {
    let first = tally.kept.first()?;
    let (title, body) = first.said();
    let mut texts = vec![
        format!("{} of {} tests failed", tally.failed, tally.tests),
        first.headline(),
    ];
    let more = body.filter(|line| *line != title).take(FIRST_LINES);
    texts.extend(more.map(|line| format!("    {line}")));
    texts.extend(tally.kept.iter().skip(1).map(Failed::headline));
    let left_out = tally.failed.saturating_sub(tally.kept.len());
    if left_out > 0 {
        texts.push(format!("and {left_out} more"));
    }
    Some(Clue {
        lines: Some(Lines {
            file,
            texts,
            deciding: 1,
        }),
        ..Clue::new(Origin::Junit, "junit", CauseClass::Test, first.headline())
    })
}

impl Failed {
    /// What it says first, and all that it says.
    fn said(&self) -> (&str, impl Iterator<Item = &str>) {
        let lines = |text: &'_ str| text.trim().lines().next().map(str::trim).is_some();
        let text = self.text.lines().map(str::trim_end);
        let title = self.message.trim().lines().next().unwrap_or_default();
        let title = if is_generic(title) && lines(&self.text) {
            let mut words = self.text.lines().map(str::trim);
            words.find(|line| !is_generic(line)).unwrap_or(title)
        } else {
            title
        };
        let message = self.message.lines().map(str::trim_end);
        (
            title,
            message.chain(text).filter(|line| !line.trim().is_empty()),
        )
    }

    fn headline(&self) -> String {
        let (title, _) = self.said();
        match (self.name.trim(), title) {
            ("", title) => title.to_owned(),
            (name, "") => name.to_owned(),
            (name, title) => format!("{name}: {title}"),
        }
    }
}

/// Messages that only say that the test failed.
fn is_generic(line: &str) -> bool {
    let line = line.trim().trim_end_matches(['.', ':']).to_lowercase();
    matches!(
        line.as_str(),
        "" | "failed" | "failure" | "error" | "test failed" | "testcase failed"
    ) || line.starts_with("exit status ")
        || line.starts_with("=== run")
}

/// Where the reader stands.
#[derive(Default)]
struct Place {
    /// Name of the test case it is in, and of its class.
    case: Option<String>,
    /// What the failure or error says that it is in.
    failure: Option<Failed>,
}

/// Adds the tests of one report. Elements may be nested in any way; what counts is a `failure` or `error`
/// within a `testcase`.
fn scan(bytes: &[u8], tally: &mut Tally) -> Result<(), String> {
    let whole = bytes.len() <= LARGEST;
    let text = String::from_utf8_lossy(bytes.get(..LARGEST).unwrap_or(bytes));
    let mut reader = Reader::from_str(&text);
    // A report of a test that crashed lacks its end.
    reader.config_mut().check_end_names = false;
    reader.config_mut().allow_unmatched_ends = true;
    reader.config_mut().allow_dangling_amp = true;
    let mut place = Place::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => start(&tag, false, &mut place, tally),
            Ok(Event::Empty(tag)) => start(&tag, true, &mut place, tally),
            Ok(Event::End(tag)) => end(tag.local_name().as_ref(), &mut place, tally),
            Ok(Event::Text(text)) => place.say(&text.xml10_content()),
            Ok(Event::CData(text)) => place.say(&text.xml10_content()),
            Ok(Event::GeneralRef(entity)) => place.say(&resolved(&entity)),
            Ok(Event::Eof) if whole => {
                finish(&mut place, tally);
                return Ok(());
            }
            Ok(Event::Eof) | Err(_) if !whole => {
                finish(&mut place, tally);
                return Err("is too large to be read to its end".to_owned());
            }
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => {}
            Ok(Event::Eof) | Err(_) => {
                let at = reader.error_position();
                return Err(format!("is not JUnit's XML from byte {at} on"));
            }
        }
    }
}

impl Place {
    fn say(&mut self, text: &str) {
        if let Some(failure) = &mut self.failure {
            push_capped(&mut failure.text, text);
        }
    }
}

/// Whole lines only once it gets too long.
fn push_capped(said: &mut String, text: &str) {
    let room = SAID.saturating_sub(said.len());
    if text.len() <= room {
        said.push_str(text);
        return;
    }
    for line in text.split_inclusive('\n') {
        if said.len() + line.len() > SAID {
            // Nothing more is taken, so that no later piece joins this one.
            said.push_str(&" ".repeat(SAID.saturating_sub(said.len())));
            return;
        }
        said.push_str(line);
    }
}

fn start(tag: &BytesStart<'_>, is_empty: bool, place: &mut Place, tally: &mut Tally) {
    match tag.local_name().as_ref() {
        "testcase" => {
            tally.tests += 1;
            place.case = (!is_empty).then(|| attribute(tag, "name"));
        }
        "failure" | "error" if place.failure.is_none() => {
            let Some(name) = place.case.clone() else {
                return;
            };
            place.failure = Some(Failed {
                name,
                message: attribute(tag, "message"),
                text: String::new(),
            });
            if is_empty {
                finish(place, tally);
            }
        }
        _ => {}
    }
}

fn end(name: &str, place: &mut Place, tally: &mut Tally) {
    match name {
        "testcase" => {
            finish(place, tally);
            place.case = None;
        }
        "failure" | "error" => finish(place, tally),
        _ => {}
    }
}

fn finish(place: &mut Place, tally: &mut Tally) {
    let Some(failure) = place.failure.take() else {
        return;
    };
    // A test may have a failure and an error; it failed once.
    if tally
        .kept
        .last()
        .is_some_and(|last| last.name == failure.name)
    {
        return;
    }
    tally.failed += 1;
    if tally.kept.len() < TESTS {
        tally.kept.push(failure);
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> String {
    let mut attributes = tag.attributes();
    let found = attributes
        .with_checks(false)
        .flatten()
        .find(|attribute| attribute.key.local_name().as_ref() == name);
    let Some(found) = found else {
        return String::new();
    };
    let raw = found.value.as_ref();
    let text = unescape(raw).unwrap_or(raw.into());
    let mut said = String::new();
    push_capped(&mut said, &text);
    said
}

/// One character, or the reference as it is written: entities that a report defines are not expanded.
fn resolved(entity: &BytesRef<'_>) -> String {
    if let Ok(Some(character)) = entity.resolve_char_ref() {
        return character.to_string();
    }
    let name = entity.xml10_content();
    let reference = format!("&{name};");
    unescape(&reference).map_or_else(|_| reference.clone(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clue_of(xml: &str) -> (Option<Clue>, Vec<String>) {
        let mut notes = Vec::new();
        let reports = [("artifacts/junit_1.xml".to_owned(), xml.as_bytes().to_vec())];
        (read(&reports, &mut notes), notes)
    }

    #[test]
    fn the_first_failed_test_decides_and_the_others_are_listed() {
        for (xml, lines) in [
            (
                r#"<testsuite tests="1"><testcase name="build"><failure message="exit status 1">undefined: x.Y</failure></testcase></testsuite>"#,
                vec![
                    "1 of 1 tests failed",
                    "build: undefined: x.Y",
                    "    exit status 1",
                ],
            ),
            (
                r#"<?xml version="1.0"?><testsuites><testsuite><testsuite>
                    <testcase name="fine"/><testcase name="skipped"><skipped/></testcase>
                    <testcase name="A"><error message="want &lt;1&gt; &amp; got &#50;"/></testcase></testsuite>
                    <testcase name="B"><failure><![CDATA[x < y
  second line]]></failure><system-out>noise</system-out></testcase>
                    </testsuite></testsuites>"#,
                vec!["2 of 4 tests failed", "A: want <1> & got 2", "B: x < y"],
            ),
            (
                "<testcase name='cut off'><failure>boom &amp; more\n  at a.go:1",
                vec![
                    "1 of 1 tests failed",
                    "cut off: boom & more",
                    "      at a.go:1",
                ],
            ),
        ] {
            let (clue, notes) = clue_of(xml);
            let shown = clue.map_or_else(Vec::new, |clue| clue.lines.unwrap().texts);
            assert_eq!(shown, lines, "{xml}");
            assert!(notes.is_empty(), "{notes:?}");
        }
    }

    #[test]
    fn reports_without_a_failed_test_say_nothing() {
        for xml in [
            "",
            "<testsuites/>",
            "<testcase name='a'/>",
            "<failure>outside of a test</failure>",
            "<testcase name='a'><flakyFailure>x</flakyFailure></testcase>",
            "no xml at all",
        ] {
            assert_eq!(clue_of(xml), (None, Vec::new()), "{xml}");
        }
    }

    #[test]
    fn entities_of_its_own_are_not_expanded() {
        let mut bomb = String::from("<!DOCTYPE x [<!ENTITY a0 \"lol\">");
        for n in 1..20 {
            let before = format!("&a{};", n - 1).repeat(10);
            bomb += &["<!ENTITY a", &n.to_string(), " \"", &before, "\">"].concat();
        }
        bomb.push_str("]><testcase name=\"&a19;\"><failure>&a19; &file;</failure></testcase>");
        let clue = clue_of(&bomb).0.unwrap();
        assert_eq!(clue.headline, "&a19;: &a19; &file;");
    }

    #[test]
    fn a_huge_report_is_read_up_to_its_cap_and_what_it_says_is_kept_short() {
        let mut xml = String::from("<testsuite><testcase name=\"a\"><failure>");
        xml.push_str(&"a line of words\n".repeat(2_000));
        xml.push_str("</failure></testcase>");
        let case = "<testcase name=\"b\"><failure message=\"x\"/></testcase><testcase name=\"c\"><failure/></testcase>";
        xml.push_str(&case.repeat(LARGEST / case.len()));
        let (clue, notes) = clue_of(&xml);
        let texts = clue.unwrap().lines.unwrap().texts;
        assert!(texts.len() < 60, "{}", texts.len());
        assert!(texts.last().unwrap().starts_with("and "));
        assert_eq!(
            notes,
            ["artifacts/junit_1.xml is too large to be read to its end"]
        );
    }
}
