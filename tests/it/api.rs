//! The API as programs use it: described by its own document, paged without loss, errors that say what is wrong.

use std::collections::BTreeSet;

use axum::http::{Request, StatusCode};
use jiff::SignedDuration;
use prow_notifier::standin::prow::Job;
use serde_json::{Value, json};

use crate::{
    access::surface::{Surface, Tokens},
    inside::{failed, passed},
};

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

async fn surface(tokens: &Tokens) -> Surface {
    Surface::new(tokens, "reads: open").await
}

/// Runs of several services, bad and good.
async fn history(surface: &mut Surface, from: usize, count: usize) -> Vec<Job> {
    let now = surface.inside.now();
    let jobs: Vec<Job> = (from..from + count)
        .map(|number| {
            let service = format!("service{}", number % 7);
            let at = now + SignedDuration::from_secs(i64::try_from(number).unwrap());
            if number % 3 == 0 {
                passed(&service, &format!("stage{number}"), at)
            } else {
                failed(&service, &format!("stage{number}"), at)
            }
        })
        .collect();
    surface.inside.accept(&jobs).await;
    surface.inside.pass(MINUTE).await;
    jobs
}

/// Whether a value is as a schema says; what is wrong otherwise.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        let schema = document.pointer(pointer);
        let Some(schema) = schema else {
            return vec![format!("{at}: {reference} is nowhere")];
        };
        return check(document, schema, value, at);
    }
    if let Some(all) = schema["allOf"].as_array() {
        let each = all.iter();
        return each
            .flat_map(|one| check(document, one, value, at))
            .collect();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(any) = schema[choice].as_array() {
            let fits = any
                .iter()
                .any(|one| check(document, one, value, at).is_empty());
            return if fits {
                vec![]
            } else {
                vec![format!("{at}: {value} is none of {choice}")]
            };
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return if words.contains(value) {
            vec![]
        } else {
            vec![format!("{at}: {value} is no word of it")]
        };
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        _ => return vec![],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !kinds.contains(&kind) {
        return vec![format!("{at}: {value} is no {kinds:?}")];
    }
    let mut wrong = Vec::new();
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            wrong.extend(check(
                document,
                &schema["items"],
                item,
                &format!("{at}[{index}]"),
            ));
        }
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                wrong.push(format!("{at}: no {name}"));
            }
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = object.get(name) {
                wrong.extend(check(document, schema, value, &format!("{at}.{name}")));
            }
        }
    }
    wrong
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let tokens = Tokens::new();
    let mut surface = surface(&tokens).await;
    let jobs = history(&mut surface, 0, 8).await;
    let (status, document) = surface.api("GET", "/openapi.json").await;
    assert_eq!(status, StatusCode::OK);
    let mut asked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path
            .strip_prefix("/api/v1")
            .unwrap()
            .replace("{service}", "service1")
            .replace("{version}", "1.2.3")
            .replace("{receiver}", "team")
            .replace("{id}", "1")
            .replace("{run}", &jobs[1].name());
        for (method, operation) in operations.as_object().unwrap() {
            let (status, answer) = surface.api(&method.to_uppercase(), &concrete).await;
            assert_ne!(answer["title"], "no such path", "{method} {path}");
            // It is told of everywhere, and never meant.
            assert_ne!(
                status,
                StatusCode::SERVICE_UNAVAILABLE,
                "{method} {path}: {answer}"
            );
            let told = &operation["responses"][status.as_str()];
            assert!(
                !told.is_null(),
                "{method} {path}: {status} is not told of: {answer}"
            );
            let content = told["content"].as_object().unwrap();
            let (_, content) = content.iter().next().unwrap();
            let wrong = check(&document, &content["schema"], &answer, "answer");
            assert_eq!(wrong, Vec::<String>::new(), "{method} {path}");
            let summary = operation["description"]
                .as_str()
                .or(operation["summary"].as_str());
            assert!(summary.is_some(), "{method} {path} says not what it is");
            asked += 1;
        }
    }
    assert!(asked >= 15, "{asked}");
}

#[tokio::test]
async fn pages_never_repeat_or_miss_a_row_while_rows_are_added() {
    let tokens = Tokens::new();
    let mut surface = surface(&tokens).await;
    history(&mut surface, 0, 40).await;
    for (list, key) in [
        ("/runs", "run"),
        ("/decisions", "run"),
        ("/incidents", "id"),
        ("/deliveries", "id"),
    ] {
        let (_, whole) = surface.api("GET", &format!("{list}?limit=500")).await;
        let before = keys(&whole, key);
        assert!(before.len() > 20, "{list}: {}", before.len());
        let (mut seen, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (status, page) = surface.api("GET", &format!("{list}?limit=7{after}")).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            seen.extend(keys(&page, key));
            let Some(next) = page["next"].as_str() else {
                break;
            };
            after = format!("&after={next}");
            pages += 1;
            history(&mut surface, 1000 + pages * 10 + before.len() * 100, 3).await;
        }
        let unique: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "{list} repeats rows");
        let missing: Vec<&String> = before.iter().filter(|key| !seen.contains(key)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "{list} misses rows");
    }
}

#[tokio::test]
async fn lists_of_one_service_have_nothing_of_another() {
    let tokens = Tokens::new();
    let mut surface = surface(&tokens).await;
    history(&mut surface, 0, 28).await;
    let (status, one) = surface.api("GET", "/services/service1").await;
    assert_eq!(
        (status, &one["service"]["name"]),
        (StatusCode::OK, &json!("service1"))
    );
    let mut listed = vec![one["open"].clone()];
    for query in ["", "&open=true", "&open=false"] {
        let path = format!("/incidents?service=service1{query}");
        let (status, page) = surface.api("GET", &path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        listed.push(page["items"].clone());
    }
    let count = |items: &Value| items.as_array().unwrap().len();
    assert!(count(&listed[0]) > 1, "{one}");
    assert_eq!(count(&listed[1]), count(&listed[2]) + count(&listed[3]));
    for item in listed.iter().flat_map(|items| items.as_array().unwrap()) {
        assert_eq!(item["service"], "service1", "{item}");
    }
    let (status, page) = surface.api("GET", "/services/service1/releases").await;
    assert_eq!(status, StatusCode::OK, "{page}");
}

fn keys(page: &Value, key: &str) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items.map(|item| item[key].to_string()).collect()
}

#[tokio::test]
async fn every_error_is_a_problem_that_says_what_is_wrong() {
    let tokens = Tokens::new();
    let surface = surface(&tokens).await;
    for (method, path, status, parameter) in [
        ("GET", "/runs?limit=many", 400, json!("limit")),
        ("GET", "/runs?limit=0", 400, json!("limit")),
        ("GET", "/runs?limt=3", 400, json!("limt")),
        ("GET", "/runs?after=x", 400, json!("after")),
        ("GET", "/incidents?after=3", 400, json!("after")),
        ("GET", "/incidents?open=maybe", 400, json!("open")),
        ("GET", "/deliveries?state=lost", 400, json!("state")),
        ("GET", "/deliveries/x", 400, json!("id")),
        ("GET", "/deliveries/9999", 404, Value::Null),
        ("POST", "/deliveries/9999/replay", 404, Value::Null),
        ("GET", "/runs/never-seen", 404, Value::Null),
        ("GET", "/services/none", 404, Value::Null),
        ("GET", "/services/none/releases/1", 404, Value::Null),
        ("GET", "/nothing/here", 404, Value::Null),
        ("DELETE", "/runs", 405, Value::Null),
    ] {
        let (code, problem) = surface.api(method, path).await;
        assert_eq!(code.as_u16(), status, "{method} {path}: {problem}");
        assert_eq!(problem["status"], status);
        assert_eq!(problem["parameter"], parameter, "{path}");
        assert!(problem["title"].is_string() && problem["detail"].is_string());
    }
    let request = Request::get("/api/v1/runs?limit=x");
    let (_, headers, _) = surface.ask(request, "192.0.2.7", "").await;
    assert_eq!(headers["content-type"], "application/problem+json");
}

#[tokio::test]
async fn a_store_that_is_gone_is_told_as_such() {
    let tokens = Tokens::new();
    let surface = surface(&tokens).await;
    surface.inside.shared().store.clone().close().await;
    for path in ["/now", "/runs", "/deliveries", "/counts"] {
        let (code, problem) = surface.api("GET", path).await;
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert!(problem["title"].as_str().unwrap().contains("store"));
    }
}
