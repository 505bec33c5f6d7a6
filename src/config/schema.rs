//! The JSON Schema of a configuration file, made from the same tables that read it.

use serde_json::{Map, Value, json};

use super::{
    mute::{DAYS, MONTHS},
    settings::{Form, SETTINGS},
};
use crate::domain::location::STRATEGIES;
use crate::{
    domain::evidence::CAUSE_CLASSES,
    evidence::rules::{MAX_WEIGHT, USER_WEIGHT},
};

/// The schema, for editors and for checking outside.
pub fn schema() -> Value {
    let mut root = object("Configuration of prow-notifier");
    for setting in SETTINGS {
        let path: Vec<&str> = setting.key.split('.').collect();
        insert(
            &mut root,
            &path,
            leaf(setting.form, setting.default, setting.doc),
        );
    }
    insert(
        &mut root,
        &["classify"],
        list(&rule(), "Classification rules; the first match wins."),
    );
    insert(
        &mut root,
        &["pipelines"],
        list(
            &pipeline(),
            "How the stages of a release follow each other.",
        ),
    );
    insert(
        &mut root,
        &["receivers"],
        list(&receiver(), "Where messages go."),
    );
    insert(
        &mut root,
        &["routes"],
        list(
            &route(),
            "In order; the first match wins unless `continue`.",
        ),
    );
    insert(
        &mut root,
        &["mute"],
        list(
            &mute(),
            "Times in which some things are not told; a summary is told at their end.",
        ),
    );
    insert(
        &mut root,
        &["log_rules"],
        list(
            &log_rule(),
            "What lines of logs mean, before the built-in rules.",
        ),
    );
    insert(
        &mut root,
        &["artifacts", "defaults"],
        list(
            &default_location(),
            "Where logs are when neither the run nor its page tells; the narrowest one whose conditions hold, of equals the last.",
        ),
    );
    insert(
        &mut root,
        &["redact"],
        list(
            &redact(),
            "Regular expressions of secrets; what they match is taken out of logs before anything is kept.",
        ),
    );
    insert(
        &mut root,
        &["artifacts", "endpoints"],
        list(&endpoint(), "How buckets are reached."),
    );
    let mut root = Value::Object(root);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root
}

fn object(description: &str) -> Map<String, Value> {
    let value = json!({ "type": "object", "description": description, "additionalProperties": false, "properties": {} });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn insert(into: &mut Map<String, Value>, path: &[&str], leaf: Value) {
    let Some(Value::Object(properties)) = into.get_mut("properties") else {
        return;
    };
    match path {
        [] => {}
        [last] => {
            properties.insert((*last).to_owned(), leaf);
        }
        [first, rest @ ..] => {
            let below = properties
                .entry(*first)
                .or_insert_with(|| Value::Object(object(&format!("Settings of `{first}`."))));
            if let Value::Object(below) = below {
                insert(below, rest, leaf);
            }
        }
    }
}

fn leaf(form: Form, default: Option<&str>, doc: &str) -> Value {
    let mut value = match form {
        Form::Text => json!({ "type": "string" }),
        Form::Duration => {
            json!({ "type": "string", "pattern": "^(0|([0-9]+(ms|s|m|min|h|d|w))+)$" })
        }
        Form::Size => json!({ "type": ["string", "integer"], "examples": ["4MiB"] }),
        Form::Number => json!({ "type": "integer", "minimum": 1 }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::List => json!({ "type": "array", "items": { "type": "string" } }),
    };
    value["description"] = json!(doc);
    match (form, default) {
        (Form::List, Some(default)) => {
            value["default"] = json!(default.split(',').collect::<Vec<_>>());
        }
        (Form::Flag, Some(default)) => value["default"] = json!(default == "true"),
        (Form::Number, Some(default)) => {
            value["default"] = json!(default.parse::<u32>().unwrap_or(1));
        }
        (_, Some(default)) => value["default"] = json!(default),
        (_, None) => {}
    }
    value
}

fn list(items: &Value, doc: &str) -> Value {
    json!({ "type": "array", "description": doc, "items": items })
}

fn text(doc: &str) -> Value {
    json!({ "type": "string", "description": doc })
}

fn matchers() -> Value {
    json!({
        "description": "Matchers such as repo=~\"(?<service>.+)-controller\"; all must hold.",
        "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
    })
}

fn rule() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["name"],
        "properties": {
            "name": text("Shown in messages and previews; unique."),
            "match": matchers(),
            "set": {
                "type": "object", "additionalProperties": false,
                "description": "What the run is; $name is a named group, or org, repo, job, ref.",
                "properties": {
                    "service": text("What the run releases."),
                    "controller": text("Its repository; by default that of the run."),
                    "component": text("Owner; by default the repository, else the job."),
                    "stage": text("Place in the release."),
                    "severity": { "enum": ["critical", "non-critical"], "default": "non-critical" },
                    "every": leaf(Form::Duration, None, "The job is to run so often; when it does not, that is told."),
                    "after": leaf(Form::Number, Some("1"), "Bad runs in a row before it is told."),
                    "runbook": text("Address of what to do."),
                },
            },
        },
    })
}

fn pipeline() -> Value {
    let patterns =
        |doc: &str| json!({ "type": "array", "description": doc, "items": { "type": "string" } });
    json!({
        "type": "object", "additionalProperties": false, "required": ["name", "stages"],
        "properties": {
            "name": text("Shown in errors and previews; unique."),
            "match": matchers(),
            "stages": list(&json!({
                "type": "object", "additionalProperties": false, "required": ["name"],
                "properties": {
                    "name": text("As a classify rule sets it."),
                    "needs": list(&json!({ "oneOf": [
                        { "type": "string" },
                        { "type": "object", "additionalProperties": false, "required": ["stage"], "properties": {
                            "stage": text("The earlier stage."),
                            "within": within(),
                            "gate": gate(),
                            "abort_downstream": { "enum": ["suggest", "on", "off"], "default": "suggest",
                                "description": "What becomes of runs of this stage that cannot succeed any more because the earlier one failed: named with the command that stops them (suggest), stopped through the API of Kubernetes (on, needs sources.watch and the right to patch), or left alone." },
                        } },
                    ] }), "Earlier stages."),
                    "shared": { "type": "boolean", "default": false,
                        "description": "One thing that all services share: one success heals all." },
                    "severity": { "enum": ["critical", "non-critical"], "default": "critical",
                        "description": "How bad it is when it does not start." },
                    "overdue": overdue(),
                    "log": { "type": "object", "additionalProperties": false,
                        "description": "What the log of a green run says; a group (?<version>...) names the release.",
                        "properties": {
                            "soft_fail": patterns("It did not do its work."),
                            "no_op": patterns("It had nothing to do."),
                            "done": patterns("It did its work; then green alone does not prove that."),
                        } },
                },
            }), "In the order in which they are shown."),
        },
    })
}

fn within() -> Value {
    let floor = leaf(Form::Duration, Some("30m"), "Nothing shorter is learned.");
    let fixed = leaf(Form::Duration, None, "So long.");
    json!({
        "description": "It starts this one, at the latest after so long; learned from earlier releases when `learned` or a floor is written.",
        "oneOf": [
            fixed,
            { "const": "learned" },
            { "type": "object", "additionalProperties": false, "properties": { "floor": floor } },
        ],
    })
}

fn gate() -> Value {
    json!({
        "description": "A person starts this one, so it waits and is not late; with a duration it is told once a person takes longer.",
        "default": false,
        "oneOf": [{ "type": "boolean" }, leaf(Form::Duration, None, "How long a person may take.")],
    })
}

fn overdue() -> Value {
    let doc = "A run that takes longer is told; `learned` takes the limit from earlier good runs.";
    let mut value = leaf(Form::Duration, None, doc);
    value["pattern"] = json!("^(learned|0|([0-9]+(ms|s|m|min|h|d|w))+)$");
    value
}

fn receiver() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["name", "slack"],
        "properties": {
            "name": text("Routes refer to it."),
            "slack": {
                "type": "object", "additionalProperties": false,
                "properties": {
                    "webhook_url_file": text("File that holds the webhook URL."),
                    "webhook_url_dir": text("Folder with one file per service, each holding a webhook URL."),
                    "webhook_url_env": text("Environment variable that holds the webhook URL."),
                    "mention_on_critical": text("Put before critical messages, such as <!subteam^S0123>."),
                },
            },
        },
    })
}

fn redact() -> Value {
    json!({
        "oneOf": [
            { "type": "string" },
            {
                "type": "object", "additionalProperties": false, "required": ["pattern"],
                "properties": {
                    "pattern": text("Regular expression; looked for in each line."),
                    "name": text("For people; by default the pattern itself."),
                },
            },
        ],
    })
}

fn route() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["receiver"],
        "properties": {
            "match": matchers(),
            "receiver": text("Name of a receiver."),
            "digest": leaf(Form::Duration, None, "Collect non-critical incidents for this long."),
            "continue": { "type": "boolean", "default": false, "description": "Ask later routes too." },
            "mute": { "type": "array", "items": { "type": "string" }, "description": "Names of mute windows that apply here." },
        },
    })
}

fn mute() -> Value {
    let names = |names: &[&str], doc: &str| json!({ "type": "array", "description": doc, "items": { "enum": names } });
    json!({
        "type": "object", "additionalProperties": false, "required": ["name", "timezone"],
        "properties": {
            "name": text("Shown with what it holds back; routes may refer to it, and then it applies there alone. Unique."),
            "match": matchers(),
            "times": { "type": "array", "description": "Times of the day; the whole day by default.",
                "items": { "type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]-[0-2][0-9]:[0-5][0-9]$", "examples": ["22:00-06:00"] } },
            "days": names(&DAYS, "Days on which it begins; all by default."),
            "months": names(&MONTHS, "Months in which it begins; all by default."),
            "timezone": text("Whose clocks, such as Europe/Berlin."),
            "critical": { "type": "boolean", "default": false, "description": "Whether it holds back what is critical too." },
        },
    })
}

fn log_rule() -> Value {
    let classes: Vec<&str> = CAUSE_CLASSES.iter().map(|class| class.as_str()).collect();
    json!({
        "type": "object", "additionalProperties": false, "required": ["name", "pattern", "class"],
        "properties": {
            "name": text("Shown with what it finds; unique."),
            "pattern": text("Regular expression on one line, without colours and the time before it."),
            "class": { "enum": classes, "description": "What kind of cause it is." },
            "weight": {
                "type": "integer", "minimum": 1, "maximum": MAX_WEIGHT, "default": USER_WEIGHT,
                "description": "The heaviest rule decides; none below 60 does.",
            },
            "example": text("A line that it must match, checked when the configuration is read."),
        },
    })
}

fn default_location() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["location"],
        "properties": {
            "org": text("Only for this org."),
            "repo": text("Only for this repository of the org."),
            "cluster": text("Only for this build cluster."),
            "namespace": text("Only for pods in this namespace."),
            "location": text("s3://bucket, gs://bucket/prefix or file:///folder."),
            "path_prefix": text("Prow's path_prefix."),
            "path_strategy": { "enum": STRATEGIES, "default": "explicit", "description": "Prow's path_strategy." },
            "default_org": text("Prow's default_org; needed unless explicit."),
            "default_repo": text("Prow's default_repo; needed unless explicit."),
        },
    })
}

fn endpoint() -> Value {
    let flag = |doc: &str| json!({ "type": "boolean", "default": false, "description": doc });
    json!({
        "type": "object", "additionalProperties": false, "required": ["for"],
        "properties": {
            "for": text("s3 or gs for all buckets of it, or one bucket such as s3://bucket."),
            "endpoint": text("Address of the server, such as https://minio.example.com:9000; the provider's own by default."),
            "region": text("Region of S3; by default from the environment, else us-east-1."),
            "path_style": { "type": "boolean", "description": "Whether the bucket stands in the path; by default so for an endpoint of one's own." },
            "credentials_file": text("File with credentials: Prow's JSON for S3, a service account for GCS."),
            "ca_file": text("File with the certificate (PEM) of the authority that signed the server's."),
            "anonymous": flag("Do not sign requests."),
            "instance_credentials": flag("Ask the cloud's metadata service for credentials."),
        },
    })
}
