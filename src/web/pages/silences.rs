//! `/silences`: what is quiet, and a form to ask for quiet. Looking at it never changes anything; what a silence would
//! hide is shown at `?match=` before it is made.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse as _, Redirect, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tracing::info;

use super::{
    super::Web,
    render::{failed, not_found, render_or_log},
    table::{Format, Table, page_or_table},
    visit::Visit,
};
use crate::{
    board::silences::{self, Query, Silences},
    config::units,
    domain::silence::{Draft, Silence, SilenceId, Wish},
    store::{Actor, StoreError},
    telemetry::short,
    web::access::Person,
};

/// A larger form is not read.
const MAX_FORM: usize = 64 << 10;

/// What a form says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Form {
    /// Matchers, several on lines of their own.
    #[serde(rename = "match")]
    matchers: Vec<String>,
    /// Why.
    reason: String,
    /// How long, such as `2h`.
    #[serde(rename = "for")]
    lasts: String,
}

impl Form {
    /// Reads a query or a body.
    fn read(text: &[u8]) -> Self {
        let mut form = Self::default();
        for (key, value) in form_urlencoded::parse(text) {
            match key.as_ref() {
                "match" => form.matchers.push(value.into_owned()),
                "reason" => form.reason = value.into_owned(),
                "for" => form.lasts = value.into_owned(),
                _ => {}
            }
        }
        form.matchers = silences::split(&form.matchers);
        form
    }
}

/// The page, with what stands in its form.
#[derive(Debug, Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    silences: &'a Silences,
    form: &'a Form,
    /// Why the form was not taken.
    refused: Option<String>,
    /// The same page as data, without the format.
    query: &'static str,
}

impl<'a> Page<'a> {
    fn of(silences: &'a Silences, form: &'a Form, refused: Option<String>) -> Self {
        Self {
            query: if silences.all { "&all=1" } else { "" },
            silences,
            form,
            refused,
        }
    }
}

fn all_silences(silences: &Silences) -> Table {
    let columns = &[
        "silence",
        "standing",
        "matchers",
        "author",
        "reason",
        "created_at",
        "starts_at",
        "ends_at",
        "ends_in_s",
        "expired_by",
        "hides",
    ];
    let mut table = Table::new("silences", &silences.data, columns);
    for one in &silences.silences {
        table.row([
            json!(one.id),
            json!(one.standing),
            json!(one.matchers.join("\n")),
            json!(one.author),
            json!(one.reason),
            json!(one.created_at),
            json!(one.starts_at),
            json!(one.ends_at),
            json!(one.ends_in_s),
            json!(one.expired_by),
            json!(one.hides),
        ]);
    }
    table
}

/// `GET /silences`.
pub(super) async fn silences(
    State(web): State<Arc<Web>>,
    RawQuery(query): RawQuery,
    format: Format,
    visit: Visit,
) -> Response {
    let query = query.unwrap_or_default();
    let form = Form::read(query.as_bytes());
    let asked = Query {
        matchers: form.matchers.clone(),
        all: form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "all"),
    };
    match silences::load(&web.shared, &asked).await {
        Ok(silences) => {
            let shown = Page::of(&silences, &form, None);
            let table = |shown: &Page<'_>| all_silences(shown.silences);
            page_or_table(format, "silences.html", &shown, table, &visit)
        }
        Err(error) => failed(&error),
    }
}

/// `POST /silences`.
pub(super) async fn post_silence(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    body: Bytes,
) -> Response {
    if body.len() > MAX_FORM {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    match add(&web, person.actor(), &Form::read(&body)).await {
        Ok(answer) => answer,
        Err(error) => failed(&error),
    }
}

/// `POST /silences/{id}/expire`.
pub(super) async fn post_expire(
    State(web): State<Arc<Web>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Response {
    let unknown = || not_found("There is no such silence");
    let Ok(id) = id.parse() else {
        return unknown();
    };
    match web.unsilence(SilenceId(id), person.actor()).await {
        Ok(Some(_)) => Redirect::to("/silences").into_response(),
        Ok(None) => unknown(),
        Err(error) => failed(&error),
    }
}

/// Makes the silence that a form asks for, or shows the form again with what is wrong.
async fn add(web: &Web, actor: Actor, form: &Form) -> Result<Response, StoreError> {
    let now = web.shared.clock.now();
    match draft(web, &actor.who, form, now) {
        Ok(draft) => {
            web.silence(draft, actor).await?;
            Ok(Redirect::to("/silences").into_response())
        }
        Err(why) => {
            let asked = Query {
                matchers: form.matchers.clone(),
                all: false,
            };
            let silences = silences::load(&web.shared, &asked).await?;
            let shown = Page::of(&silences, form, Some(why));
            let mut response = render_or_log("silences.html", &shown);
            *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        }
    }
}

fn draft(web: &Web, who: &str, form: &Form, now: Timestamp) -> Result<Draft, String> {
    let longest = web.shared.live().snapshot.config.settings.longest_silence;
    let lasts: Duration = units::duration(form.lasts.trim())
        .ok_or("say how long it is to last, such as 2h or 3d".to_owned())?;
    let wish = Wish {
        matchers: &form.matchers,
        author: who,
        reason: &form.reason,
        starts_at: None,
        ends_at: now.checked_add(lasts).unwrap_or(Timestamp::MAX),
    };
    Draft::read(&wish, now, longest).map_err(|error| error.to_string())
}

impl Web {
    /// Makes a silence in somebody's name.
    pub(in crate::web) async fn silence(
        &self,
        draft: Draft,
        actor: Actor,
    ) -> Result<Silence, StoreError> {
        let (who, now) = (actor.who.clone(), self.shared.clock.now());
        let made = self.shared.store.add_silence(draft, actor, now).await?;
        let (id, who) = (made.id.0, short(&who));
        info!(silence.id = id, who, "Made silence {id}");
        self.silences_changed();
        Ok(made)
    }

    /// Ends a silence in somebody's name; `None` when there is none of this number.
    pub(in crate::web) async fn unsilence(
        &self,
        id: SilenceId,
        actor: Actor,
    ) -> Result<Option<Silence>, StoreError> {
        let (who, now) = (actor.who.clone(), self.shared.clock.now());
        let ended = self.shared.store.expire_silence(id, actor, now).await?;
        if ended.is_some() {
            let who = short(&who);
            info!(silence.id = id.0, who, "Ended silence {id}");
            self.silences_changed();
        }
        Ok(ended)
    }

    fn silences_changed(&self) {
        self.shared.inbox_bell.notify_one();
        self.shared.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::{super::render::render, *};
    use crate::{
        board::{
            age::DataAge,
            silences::{One, Preview, Window},
        },
        domain::silence::Standing,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn empty() -> Silences {
        Silences {
            data: DataAge {
                now: at(0),
                as_of: Some(at(-5)),
                data_age_s: Some(5),
                stale: false,
            },
            silences: Vec::new(),
            windows: Vec::new(),
            preview: None,
            longest: "7 d".to_owned(),
            all: false,
        }
    }

    fn one(id: u64, standing: Standing) -> One {
        One {
            id,
            standing,
            matchers: vec![r#"service="<s3>""#.to_owned()],
            author: "jane".to_owned(),
            reason: "<script>alert(1)</script>".to_owned(),
            created_at: at(-60),
            starts_at: at(-60),
            ends_at: at(3_600),
            ends_in_s: 3_600,
            expired_by: (standing == Standing::Expired).then(|| "joe".to_owned()),
            hides: 2,
        }
    }

    fn html(silences: &Silences, refused: Option<&str>) -> String {
        let form = Form::read(b"match=service%3D%22s3%22&for=2h&reason=move");
        let shown = Page::of(silences, &form, refused.map(str::to_owned));
        let html = render("silences.html", &shown).unwrap();
        assert!(!html.contains("style=") && !html.contains("<script>"));
        let is_handler = |rest: &str| {
            let name = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
            name.starts_with('=')
        };
        assert!(!html.split(" on").skip(1).any(is_handler));
        html
    }

    #[test]
    fn nothing_quiet_says_so() {
        let text = html(&empty(), None);
        assert!(text.contains("Nothing is silenced"), "{text}");
        assert!(!text.contains("role=\"alert\""));
    }

    #[test]
    fn silences_show_who_why_how_long_and_how_much() {
        let mut silences = empty();
        silences.silences = vec![
            one(1, Standing::Active),
            one(2, Standing::Pending),
            one(3, Standing::Expired),
        ];
        silences.windows = vec![Window {
            name: "nights".to_owned(),
            matchers: Vec::new(),
            when: "22:00 to 06:00, Europe/Berlin".to_owned(),
            critical: false,
            on_routes: true,
            open_until: Some(at(600)),
            hides: 1,
        }];
        let text = html(&silences, None);
        for shown in [
            "jane",
            "&lt;script&gt;",
            "hides 2",
            "ended by joe",
            "nights",
            "in 1 h",
        ] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
        assert!(text.contains("action=\"/silences/1/expire\""));
        assert!(text.contains("href=\"?format=csv\""), "{text}");
        let csv = all_silences(&silences).csv();
        assert_eq!(csv.lines().count(), 4, "{csv}");
        assert!(csv.contains("3,expired,"), "{csv}");
        assert!(
            !text.contains("action=\"/silences/3/expire\""),
            "it is over"
        );
    }

    #[test]
    fn a_preview_shows_what_would_be_hidden_or_why_not() {
        let mut silences = empty();
        let mut preview = Preview {
            written: "service=\"s3\"".to_owned(),
            error: None,
            open: Vec::new(),
        };
        silences.preview = Some(preview.clone());
        assert!(html(&silences, None).contains("would hide nothing that is open now"));
        preview.error = Some("cannot read matcher".to_owned());
        silences.preview = Some(preview);
        assert!(html(&silences, None).contains("cannot read matcher"));
        let text = html(&silences, Some("a silence needs a reason"));
        assert!(text.contains("role=\"alert\"") && text.contains("a silence needs a reason"));
        let stale = Silences {
            data: DataAge {
                stale: true,
                ..empty().data
            },
            ..empty()
        };
        assert!(html(&stale, None).contains("Stale"));
    }

    #[test]
    fn a_form_is_read_from_a_query_or_a_body() {
        let form =
            Form::read(b"match=a%3D%22b%22%0D%0Astage%3D%22c+d%22&for=2h&reason=x%26y&other=1");
        assert_eq!(form.matchers, [r#"a="b""#, r#"stage="c d""#]);
        assert_eq!((form.lasts.as_str(), form.reason.as_str()), ("2h", "x&y"));
    }
}
