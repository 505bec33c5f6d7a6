//! `clone-records.json`: what the commands that fetch the code said. When they fail, the log of the job
//! itself is empty or beside the point.

use serde_json::Value;

use super::{
    clue::{Clue, Lines, class_of},
    structured::{list, open, text},
};
use crate::domain::evidence::{CauseClass, Origin};

/// Reads it; the error is for people.
pub(super) fn read(bytes: &[u8]) -> Result<Option<Clue>, String> {
    let file = open("clone-records.json", bytes)?;
    let records = file.as_array().map_or(&[][..], Vec::as_slice);
    let failed = |record: &&Value| record.get("failed").and_then(Value::as_bool) == Some(true);
    Ok(records.iter().find(failed).map(clue))
}

/// A fetch that is tried again leaves a record of each try: the last one that failed decides.
fn clue(record: &Value) -> Clue {
    let refs = record.get("refs").unwrap_or(&Value::Null);
    let repository = format!("{}/{}", text(refs, "org"), text(refs, "repo"));
    let commands = list(record, "commands").iter().rev();
    let Some(command) = commands
        .into_iter()
        .find(|command| !text(command, "error").is_empty())
    else {
        let headline = format!("the code of {repository} cannot be fetched");
        return Clue::new(Origin::Clone, "clone-failed", CauseClass::Git, headline);
    };
    let (output, error) = (text(command, "output"), text(command, "error"));
    let mut texts = vec![format!("$ {}", text(command, "command"))];
    texts.extend(output.lines().map(str::to_owned));
    texts.push(format!("# Error: {error}"));
    let deciding = deciding(&texts);
    let line = texts.get(deciding).map_or("", |line| line.trim());
    let conflict = is_conflict(output);
    let class = if conflict {
        CauseClass::Git
    } else {
        class_of(&format!("{output}\n{error}"), CauseClass::Git)
    };
    let rule = if conflict {
        "merge-conflict"
    } else {
        "clone-failed"
    };
    Clue {
        headline: line.to_owned(),
        lines: Some(Lines {
            file: "clone-records.json".to_owned(),
            texts,
            deciding,
        }),
        ..Clue::new(Origin::Clone, rule, class, "")
    }
}

fn is_conflict(output: &str) -> bool {
    output.contains("CONFLICT (") || output.contains("Automatic merge failed")
}

/// The line that says what is wrong: git's own words, else the last line of the output, else the error.
fn deciding(texts: &[String]) -> usize {
    const TELLING: [&str; 5] = ["CONFLICT (", "fatal: ", "error: ", "ERROR: ", "remote: "];
    let output = 1..texts.len().saturating_sub(1);
    for words in TELLING {
        let mut found = texts.iter().enumerate().take(output.end).skip(output.start);
        if let Some((index, _)) = found.find(|(_, line)| line.trim_start().starts_with(words)) {
            return index;
        }
    }
    let mut said = texts.iter().enumerate().take(output.end).skip(output.start);
    said.rfind(|(_, line)| !line.trim().is_empty())
        .map_or(output.end, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(output: &str) -> String {
        json!([
            {"refs": {"org": "o", "repo": "fine"}, "commands": [{"command": "git init", "output": "x"}]},
            {"refs": {"org": "o", "repo": "r"}, "failed": true, "duration": 3, "commands": [
                {"command": "git fetch one", "output": "first try", "error": "exit status 1"},
                {"command": "git fetch https://x", "output": output, "error": "exit status 128"},
                {"command": "git never", "output": ""},
            ]},
        ])
        .to_string()
    }

    #[test]
    fn the_failing_command_and_gits_own_words_are_told() {
        for (output, class, headline) in [
            (
                "remote: x\nfatal: Authentication failed for 'https://x'\n",
                CauseClass::Auth,
                "fatal: Authentication failed for 'https://x'",
            ),
            (
                "Auto-merging a.go\nCONFLICT (content): Merge conflict in a.go\nAutomatic merge failed; fix conflicts\n",
                CauseClass::Git,
                "CONFLICT (content): Merge conflict in a.go",
            ),
            (
                "fatal: unable to access 'https://x': Could not resolve host: x",
                CauseClass::Network,
                "fatal: unable to access 'https://x': Could not resolve host: x",
            ),
            ("strange words\n\n", CauseClass::Git, "strange words"),
            ("", CauseClass::Git, "# Error: exit status 128"),
        ] {
            let clue = read(record(output).as_bytes()).unwrap().unwrap();
            assert_eq!((clue.class, clue.headline.as_str()), (class, headline));
            let lines = clue.lines.unwrap();
            assert_eq!(lines.texts[0], "$ git fetch https://x");
            assert_eq!(lines.texts[lines.deciding].trim(), headline);
        }
    }

    #[test]
    fn what_did_not_fail_or_is_of_another_shape_says_nothing() {
        for file in [
            "[]",
            "{}",
            "null",
            r#"[null, 3, {"commands": null}, {"failed": "true"}]"#,
            r#"[{"commands":[{"command":"git fetch","error":"exit status 1"}],"final_sha":"1"}]"#,
        ] {
            assert_eq!(read(file.as_bytes()), Ok(None), "{file}");
        }
        let bare = read(br#"[{"failed": true, "refs": {"org": "o", "repo": "r"}}]"#);
        assert_eq!(
            bare.unwrap().unwrap().headline,
            "the code of o/r cannot be fetched"
        );
        assert!(read(b"[").is_err());
    }
}
