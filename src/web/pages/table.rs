//! Tables as data: the same rows that a page shows, as CSV or JSON, at the page's own address with `?format=`.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{render::page, visit::Visit};
use crate::board::age::DataAge;

/// What a page is asked for as: `?format=csv`, `?format=json`, or neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Format {
    /// The page.
    Html,
    /// Comma-separated values, RFC 4180.
    Csv,
    /// `{data, rows}`, each row an object.
    Json,
}

impl<S: Sync> FromRequestParts<S> for Format {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let query = parts.uri.query().unwrap_or_default();
        let asked = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("format="));
        match asked {
            None | Some("" | "html") => Ok(Self::Html),
            Some("csv") => Ok(Self::Csv),
            Some("json") => Ok(Self::Json),
            Some(_) => {
                let told =
                    "there is no such format: leave it out, or write format=csv or format=json\n";
                Err((StatusCode::BAD_REQUEST, told).into_response())
            }
        }
    }
}

/// Rows under a header.
#[derive(Debug)]
pub(in crate::web) struct Table {
    /// Names the file, without its ending.
    name: &'static str,
    data: DataAge,
    header: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Without rows yet. Names of columns are `snake_case` and carry their unit, such as `age_s`.
    pub(in crate::web) fn new(
        name: &'static str,
        data: &DataAge,
        header: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            data: data.clone(),
            header,
            rows: Vec::new(),
        }
    }

    /// Adds a row, one value per column: text, number, flag or null. Lists are best joined to one text.
    pub(in crate::web) fn row<const N: usize>(&mut self, values: [Value; N]) {
        debug_assert_eq!(N, self.header.len(), "a value per column of {}", self.name);
        self.rows.push(values.into());
    }

    /// As a file of values separated by commas.
    pub(in crate::web) fn csv(&self) -> String {
        let mut text = String::new();
        push_line(&mut text, self.header.iter().map(|name| (*name).to_owned()));
        for row in &self.rows {
            push_line(&mut text, row.iter().map(plain));
        }
        text
    }

    /// As objects, with how old they are.
    pub(in crate::web) fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let names = self.header.iter().map(|name| (*name).to_owned());
            Value::Object(names.zip(row.iter().cloned()).collect::<Map<_, _>>())
        };
        json!({ "data": self.data, "rows": self.rows.iter().map(object).collect::<Vec<_>>() })
    }

    fn into_response(self, format: Format) -> Response {
        if format == Format::Json {
            return Json(self.json()).into_response();
        }
        let mut response = self.csv().into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
        );
        let named = format!("attachment; filename=\"{}.csv\"", self.name);
        if let Ok(named) = HeaderValue::from_str(&named) {
            headers.insert(header::CONTENT_DISPOSITION, named);
        }
        response
    }
}

/// A page of a template, or its main table, as asked.
pub(in crate::web) fn page_or_table<T: Serialize>(
    format: Format,
    template: &str,
    data: &T,
    table: impl FnOnce(&T) -> Table,
    visit: &Visit,
) -> Response {
    match format {
        Format::Html => page(template, data, visit),
        Format::Csv | Format::Json => table(data).into_response(format),
    }
}

fn push_line(text: &mut String, cells: impl Iterator<Item = String>) {
    for (index, cell) in cells.enumerate() {
        if index > 0 {
            text.push(',');
        }
        if cell.contains(['"', ',', '\r', '\n']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}

/// A value as it stands in a cell. Spreadsheets run text that begins like a formula, and much of ours comes from
/// outside, so such text gets an apostrophe in front, which they do not show.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if is_formula(text) => format!("'{text}"),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn is_formula(text: &str) -> bool {
    // Full-width forms count too: some spreadsheets fold them.
    let starts = ['=', '+', '-', '@', '|', '%', '＝', '＋', '－', '＠'];
    text.starts_with(['\t', '\r', '\n']) || text.trim_start().starts_with(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age() -> DataAge {
        let now = "2026-05-19T20:36:00Z".parse().unwrap();
        DataAge {
            now,
            as_of: Some(now),
            data_age_s: Some(0),
            stale: false,
        }
    }

    fn table() -> Table {
        let mut table = Table::new("services", &age(), &["name", "runs", "note"]);
        table.row([json!("s3"), json!(-4), json!("a, \"b\"\nc")]);
        table.row([
            json!("=HYPERLINK(\"http://x\")"),
            json!(2),
            json!(" +1+cmd|' /C calc'!A0"),
        ]);
        table.row([json!("@SUM(A1)"), Value::Null, json!(true)]);
        table
    }

    #[test]
    fn cells_are_quoted_and_never_run_as_formulas() {
        insta::assert_snapshot!(table().csv().replace('\r', ""), @r#"
        name,runs,note
        s3,-4,"a, ""b""
        c"
        "'=HYPERLINK(""http://x"")",2,' +1+cmd|' /C calc'!A0
        '@SUM(A1),,true
        "#);
        assert_eq!(table().csv().matches("\r\n").count(), 4);
    }

    #[test]
    fn the_rows_as_json_are_as_they_are() {
        let json = table().json();
        assert_eq!(json["rows"][1]["name"], "=HYPERLINK(\"http://x\")");
        assert_eq!(json["rows"][2]["runs"], Value::Null);
        assert_eq!(json["data"]["stale"], false);
    }

    #[tokio::test]
    async fn the_format_is_read_from_the_address() {
        for (query, expected) in [
            ("", Some(Format::Html)),
            ("?state=blocked", Some(Format::Html)),
            ("?state=blocked&format=csv", Some(Format::Csv)),
            ("?format=json", Some(Format::Json)),
            ("?format=xml", None),
        ] {
            let request = axum::http::Request::get(format!("/services{query}"))
                .body(())
                .unwrap();
            let (mut parts, ()) = request.into_parts();
            let format = Format::from_request_parts(&mut parts, &()).await;
            assert_eq!(format.ok(), expected, "{query}");
        }
    }
}
