//! ProwJobs in YAML, as deck's `/prowjob` and people write them.

use super::{ParseError, document::Place};
use crate::yaml::to_json;

/// Calls `each` with every document of a YAML text, as JSON; empty documents are passed over.
pub(super) fn documents(
    bytes: &[u8],
    each: &mut impl FnMut(Place, Result<Vec<u8>, ParseError>),
) -> Result<(), ParseError> {
    let text = std::str::from_utf8(bytes).map_err(|error| yaml_error(error.to_string()))?;
    for (number, text) in split(text).into_iter().enumerate() {
        let json = to_json(&text).map_err(|error| yaml_error(error.to_string()));
        each(Place::in_document(number), json);
    }
    Ok(())
}

/// Cuts at the `---` and `...` lines, which at the start of a line can be nothing else.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        let rest = line
            .strip_prefix("---")
            .or_else(|| line.strip_prefix("..."))
            .filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t']));
        if rest.is_some() {
            documents.push(String::new());
        }
        if let Some(document) = documents.last_mut() {
            document.push_str(rest.unwrap_or(line));
            document.push('\n');
        }
    }
    documents.retain(|document| !is_blank(document));
    documents
}

fn is_blank(document: &str) -> bool {
    document
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

fn yaml_error(reason: String) -> ParseError {
    ParseError::Yaml {
        place: String::new(),
        reason,
    }
}
