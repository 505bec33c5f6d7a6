//! Lists keys as S3 (`ListObjectsV2`) and GCS do: below a prefix, grouped at a delimiter, page by page.

use axum::http::Uri;
use reqwest::Url;

/// The query of a listing.
#[derive(Debug, Default)]
pub(super) struct Asked {
    prefix: String,
    delimiter: String,
    start_after: String,
    token: String,
    max_keys: Option<usize>,
}

impl Asked {
    pub(super) fn read(uri: &Uri) -> Self {
        let mut asked = Self::default();
        let url = Url::parse(&format!("http://bucket{uri}"));
        for (key, value) in url.iter().flat_map(Url::query_pairs) {
            match key.as_ref() {
                "prefix" => asked.prefix = value.into_owned(),
                "delimiter" => asked.delimiter = value.into_owned(),
                "start-after" => asked.start_after = value.into_owned(),
                "continuation-token" => asked.token = value.into_owned(),
                "max-keys" => asked.max_keys = value.parse().ok(),
                _ => {}
            }
        }
        asked
    }

    /// The folder that stands for a key.
    fn group<'a>(&self, key: &'a str) -> Option<&'a str> {
        if self.delimiter.is_empty() {
            return None;
        }
        let rest = key.strip_prefix(&self.prefix)?;
        let end = rest.find(&self.delimiter)? + self.delimiter.len();
        key.get(..self.prefix.len() + end)
    }

    fn wants(&self, key: &str) -> bool {
        // What a token names was given before, and all that it stands for.
        let is_given = !self.token.is_empty()
            && (key <= self.token.as_str()
                || (self.token.ends_with('/') && key.starts_with(&self.token)));
        let is_behind = !self.token.is_empty() || key > self.start_after.as_str();
        key.starts_with(&self.prefix) && is_behind && !is_given
    }
}

/// The answer, of at most `page` entries.
pub(super) fn xml<'a>(
    keys: impl Iterator<Item = (&'a str, u64)>,
    asked: &Asked,
    page: Option<usize>,
) -> String {
    let most = page.into_iter().chain(asked.max_keys).min();
    let (mut entries, mut last) = (Vec::new(), "");
    let mut next = None;
    for (key, size) in keys.filter(|(key, _)| asked.wants(key)) {
        let group = asked.group(key);
        if group.is_some_and(|group| group == last) {
            continue;
        }
        if most.is_some_and(|most| entries.len() >= most) {
            next = Some(last);
            break;
        }
        last = group.unwrap_or(key);
        entries.push(match group {
            Some(group) => format!("<CommonPrefixes><Prefix>{group}</Prefix></CommonPrefixes>"),
            None => format!(
                "<Contents><Key>{key}</Key><LastModified>2026-08-20T10:00:00.000Z</LastModified><ETag>e</ETag><Size>{size}</Size></Contents>"
            ),
        });
    }
    let next = next.map_or_else(String::new, |token| {
        format!(
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
        )
    });
    let entries = entries.concat();
    format!("<?xml version='1.0'?><ListBucketResult>{next}{entries}</ListBucketResult>")
}
