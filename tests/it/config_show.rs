//! `config show` and `config schema`: what is in effect, which layer set it, and no secret.

use std::{fs, path::Path};

use prow_notifier::{
    config::Config,
    domain::{classify::classify, observation::Source, verdict::Verdict},
    pipeline::live::Live,
    prow::parse,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, no_environment, program, repository};

/// A secret that must never be seen.
const CANARY: &str = "CANARY";

fn home(files: &[(&str, &str)]) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        write(home.path(), name, text);
    }
    home
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn show(home: &TempDir, args: &[&str]) -> Program {
    program(&["config", "show"]).args(args).within(home.path())
}

fn settings(program: Program) -> Value {
    let shown: Value =
        serde_json::from_str(&program.args(["--format", "json"]).run().ok()).unwrap();
    shown["settings"].clone()
}

#[test]
fn each_value_names_the_layer_that_set_it() {
    let home = home(&[
        (
            "a.yaml",
            "dedup: { window: 2h, group_wait: 1s }\nwatch: { max_age: 1d }\n",
        ),
        ("b.yaml", "dedup:\n  window: 3h\n"),
    ]);
    let program = show(&home, &["--config", "a.yaml", "--config", "b.yaml"])
        .env("PROW_NOTIFIER__WATCH__MAX_AGE", "9h")
        .env("PROW_NOTIFIER__SERVER__LISTEN", "127.0.0.1:1")
        .env("SOMETHING_ELSE", "x");
    let settings = settings(program);
    for (key, value, origin) in [
        ("dedup.group_wait", "1s", "a.yaml:1:34"),
        ("dedup.window", "3h", "b.yaml:2:11"),
        (
            "watch.max_age",
            "9h",
            "environment PROW_NOTIFIER__WATCH__MAX_AGE",
        ),
        (
            "server.listen",
            "127.0.0.1:1",
            "environment PROW_NOTIFIER__SERVER__LISTEN",
        ),
        ("store.retention", "400d", "default"),
    ] {
        assert_eq!(
            settings[key],
            json!({ "value": value, "origin": origin }),
            "{key}"
        );
    }
    assert_eq!(settings["sources.deck.url"], Value::Null);
}

#[test]
fn explain_tells_what_a_value_overrode_layer_by_layer() {
    let home = home(&[
        ("a.yaml", "dedup: { window: 2h }\n"),
        ("b.yaml", "dedup:\n  window: 3h\n"),
    ]);
    let explain = |args: &[&str]| {
        program(&[
            "config", "explain", "--config", "a.yaml", "--config", "b.yaml",
        ])
        .args(args)
        .env("PROW_NOTIFIER__DEDUP__WINDOW", "4h")
        .within(home.path())
        .run()
    };
    let text = explain(&["dedup.window"]).ok();
    let lines: Vec<String> = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(lines[0], "dedup.window = 4h");
    assert_eq!(lines[2], "set by environment PROW_NOTIFIER__DEDUP__WINDOW");
    let overrode = ["3h b.yaml:2:11", "2h a.yaml:1:18", "1h default"];
    assert_eq!(
        lines[3..],
        overrode.map(|value| format!("overrode {value}"))
    );
    let section = explain(&["dedup", "--format", "json"]).ok();
    let keys: Vec<Value> = section
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].clone())
        .collect();
    assert_eq!(keys, ["dedup.window", "dedup.group_wait"]);
    let all = explain(&["--format", "json"]).ok();
    assert_eq!(
        all.lines().count(),
        prow_notifier::config::settings::SETTINGS.len()
    );
    let unknown = explain(&["dedup.windows"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.stderr.contains("dedup.window"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn text_shows_the_same_as_json() {
    let home = home(&[(
        "c.yaml",
        "dedup: { window: 2h }\nexternal_url: https://n.example.org\n",
    )]);
    let text = show(&home, &["--config", "c.yaml"]).run().ok();
    let line = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("dedup.window"), "dedup.window 2h c.yaml:1:18");
    assert_eq!(
        line("external_url"),
        "external_url https://n.example.org c.yaml:2:15"
    );
    assert_eq!(line("sources.deck.url"), "sources.deck.url (not set)");
    assert!(!text.contains('\u{1b}'), "colour where nobody sees it");
}

#[test]
fn the_order_of_paths_is_the_order_of_layers_and_a_folders_files_go_by_name() {
    let home = home(&[
        ("d/20.yaml", "dedup: { window: 20m }\n"),
        ("d/10.yaml", "dedup: { window: 10m }\n"),
        ("e.yaml", "dedup: { window: 30m }\n"),
    ]);
    for (paths, expected) in [
        (&["--config", "d"][..], "20m"),
        (&["--config", "d", "--config", "e.yaml"], "30m"),
        (&["--config", "e.yaml", "--config", "d"], "20m"),
        (&["-c", "d/20.yaml", "-c", "d/10.yaml"], "10m"),
    ] {
        assert_eq!(
            settings(show(&home, paths))["dedup.window"]["value"],
            expected,
            "{paths:?}"
        );
    }
}

#[test]
fn lists_join_over_the_files_and_an_environment_stands_for_them() {
    let home = home(&[
        (
            "a.yaml",
            "watch: { types: [postsubmit] }\ndelivery: { allowed_hosts: [relay.example.org] }\nclassify:\n  - name: one\n",
        ),
        (
            "b.yaml",
            "watch: { types: [periodic, postsubmit] }\ndelivery: { allowed_hosts: [\"127.0.0.1:9000\"] }\nclassify:\n  - name: two\n",
        ),
    ]);
    let paths = ["--config", "a.yaml", "--config", "b.yaml"];
    let shown = settings(show(&home, &paths));
    assert_eq!(
        shown["watch.types"]["value"],
        json!(["postsubmit", "periodic"])
    );
    // A list of hosts adds to Slack's own.
    assert_eq!(
        shown["delivery.allowed_hosts"]["value"],
        json!(["relay.example.org", "127.0.0.1:9000", "hooks.slack.com"])
    );
    let program = show(&home, &paths).env("PROW_NOTIFIER__WATCH__TYPES", "batch, presubmit");
    assert_eq!(
        settings(program)["watch.types"]["value"],
        json!(["batch", "presubmit"])
    );
    let text = show(&home, &paths).run().ok();
    let rules = text.split("classify (2)\n").nth(1).unwrap();
    assert!(
        rules.starts_with("  one: everything\n  two: everything\n"),
        "{text}"
    );
}

#[test]
fn rules_are_shown_with_all_they_do() {
    let home = home(&[(
        "c.yaml",
        r#"
classify:
  - name: publish
    match: ['repo=~"(?<service>.+)-controller"', 'job!="x"']
    set: { service: "$service", stage: "cost$$-${job}", severity: critical }
receivers:
  - name: team
    slack: { webhook_url_dir: hooks/, mention_on_critical: "<@U1>" }
routes:
  - match: ['service!=""']
    receiver: team
    digest: 90m
    continue: true
artifacts:
  defaults: [{ org: o, repo: r, location: "gs://o-logs/ci", path_strategy: legacy, default_org: o, default_repo: k }]
  endpoints: [{ for: "s3://logs", endpoint: "https://minio:9000/", region: eu, credentials_file: /secrets/s3.json }]
"#,
    )]);
    let text = show(&home, &["--config", "c.yaml"]).run().ok();
    let (_, rules) = text.split_once("\n\n").unwrap();
    insta::assert_snapshot!(rules, @r#"
    classify (1)
      publish: repo=~"(?<service>.+)-controller" job!="x" → service ${service}, stage cost$$-${job}, severity critical

    receivers (1)
      team: slack, one URL file per service in hooks/, mentions <@U1>

    routes (1)
      service!="" → team, digest 1h30m, continue

    artifacts.defaults (1)
      org=o repo=r → gs://o-logs/ci, legacy for o/k

    artifacts.endpoints (1)
      s3://logs → https://minio:9000, region eu, credentials in file /secrets/s3.json
    "#);
}

#[test]
fn text_stays_as_it_was_written() {
    let yaml = r#"
external_url: 1.10
classify:
  - name: 12e4567
    match: ["ref=\"1.10\"", 'job=~"0x1F|(?<v>1.10)"']
    set: { service: 1.10, stage: 012, runbook: yes, component: "$v" }
receivers:
  - name: 1.0
    slack: { webhook_url_file: 1.20 }
default_receiver: 1.0
"#;
    let home = home(&[("c.yaml", yaml)]);
    let config = Config::load(&[home.path().join("c.yaml")], &no_environment()).unwrap();
    assert_eq!(config.settings.external_url.as_deref(), Some("1.10"));
    assert_eq!(config.settings.default_receiver.as_deref(), Some("1.0"));
    let of = |base_ref: &str| {
        let prowjob = json!({
            "metadata": { "name": "x" },
            "spec": { "type": "postsubmit", "job": "1.10", "refs": { "org": "o", "repo": "r", "base_ref": base_ref } },
            "status": { "state": "failure" },
        });
        let text = prowjob.to_string();
        let parsed = parse::document(text.as_bytes(), Source::File, jiff::Timestamp::UNIX_EPOCH);
        let run = parsed.unwrap().observations.pop().unwrap();
        classify(&config.rules.classify, &run, Verdict::Fail)
    };
    let class = of("1.10");
    assert_eq!(
        (
            class.rule.as_deref(),
            class.service.as_deref(),
            class.stage.as_deref(),
            class.runbook.as_deref()
        ),
        (Some("12e4567"), Some("1.10"), Some("012"), Some("yes"))
    );
    assert_eq!(class.component, "1.10");
    assert_eq!(of("1.1").rule, None);
    let text = show(&home, &["--config", "c.yaml"]).run().ok();
    assert!(text.contains("1.0: slack, URL in file 1.20"), "{text}");
}

/// A configuration with a secret wherever one can be.
fn full_of_secrets() -> TempDir {
    let hook = format!("https://hooks.slack.com/services/T0/B0/{CANARY}");
    home(&[
        ("hook", &hook),
        ("hooks/s3", &hook),
        ("hmac", CANARY),
        (
            "c.yaml",
            r#"
store: { url: "sqlite://state.db" }
sources:
  webhook: { hmac_file: hmac }
  deck: { url: "https://me:CANARY@deck.example.org" }
receivers:
  - name: platform
    slack: { webhook_url_file: hook }
  - name: by-service
    slack: { webhook_url_dir: hooks }
  - name: by-variable
    slack: { webhook_url_env: TEAM_HOOK }
default_receiver: platform
"#,
        ),
    ])
}

#[test]
fn no_command_shows_a_secret() {
    let home = full_of_secrets();
    let hook = format!("https://hooks.slack.com/services/T0/B0/{CANARY}");
    let run = |args: &[&str]| {
        let program = program(args)
            .args(["--config", "c.yaml"])
            .within(home.path());
        program
            .env("TEAM_HOOK", &hook)
            .env("RUST_LOG", "trace")
            .run()
    };
    for args in [
        &["check"][..],
        &["config", "show"],
        &["config", "show", "--format", "json"],
        &["explain", "x"],
        &["explain", "x", "--format", "json"],
        &["send-test", "nobody"],
        &["preview", "no/such/file"],
    ] {
        let ran = run(args);
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(!all.is_empty() && !all.contains(CANARY), "{args:?}: {all}");
    }
    assert_eq!(run(&["check"]).code, 0);
    // What is broken later is told without its content, too.
    write(
        home.path(),
        "hook",
        &format!("http://{CANARY}@hooks.slack.com/{CANARY}"),
    );
    write(home.path(), "hmac", &format!("{CANARY}\n{CANARY}\n"));
    let refused = run(&["check"]).refused();
    assert!(!refused.contains(CANARY), "{refused}");
}

#[test]
fn nothing_in_memory_shows_a_secret_when_printed_for_debugging() {
    let home = full_of_secrets();
    let yaml = fs::read_to_string(home.path().join("c.yaml")).unwrap();
    let here = |name: &str| home.path().join(name).display().to_string();
    let yaml = yaml
        .replace("hmac_file: hmac", &format!("hmac_file: {}", here("hmac")))
        .replace("file: hook", &format!("file: {}", here("hook")))
        .replace("dir: hooks", &format!("dir: {}", here("hooks")));
    write(home.path(), "c.yaml", &yaml);
    let mut environment = no_environment();
    environment.insert(
        "TEAM_HOOK".to_owned(),
        format!("https://hooks.slack.com/services/{CANARY}"),
    );
    let config = Config::load(&[home.path().join("c.yaml")], &environment).unwrap();
    assert!(!format!("{config:?}").contains(CANARY));
    let live = Live::build(config, &environment, None).unwrap();
    assert_eq!(live.endpoints.len(), 3);
    assert!(live.tokens.is_some());
    let printed = format!("{live:?} {live:#?}");
    assert!(!printed.contains(CANARY), "{printed}");
}

fn schema() -> Value {
    serde_json::from_str(&program(&["config", "schema"]).run().ok()).unwrap()
}

/// Whether a schema of the few kinds that ours uses allows a value; says where it does not.
fn disallowed(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices
            .iter()
            .filter(|choice| disallowed(choice, value, at).is_empty());
        return if fits.count() == 1 {
            Vec::new()
        } else {
            vec![format!("{at}: not one of the forms")]
        };
    }
    if let Some(words) = schema["enum"].as_array() {
        return if words.contains(value) {
            Vec::new()
        } else {
            vec![format!("{at}: {value} is not allowed")]
        };
    }
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(map)) => {
            let mut found = Vec::new();
            for (key, inner) in map {
                match schema["properties"].get(key) {
                    Some(known) => found.extend(disallowed(known, inner, &format!("{at}.{key}"))),
                    None => found.push(format!("{at}: {key} is not known")),
                }
            }
            let required = schema["required"].as_array().into_iter().flatten();
            let missing = required.filter(|key| !map.contains_key(key.as_str().unwrap()));
            found.extend(missing.map(|key| format!("{at}: {key} is missing")));
            found
        }
        (Some("array"), Value::Array(items)) => items
            .iter()
            .enumerate()
            .flat_map(|(index, item)| disallowed(&schema["items"], item, &format!("{at}[{index}]")))
            .collect(),
        (Some("string"), Value::String(text)) => match schema["pattern"].as_str() {
            Some(pattern) if !regex::Regex::new(pattern).unwrap().is_match(text) => {
                vec![format!("{at}: {text} does not match {pattern}")]
            }
            _ => Vec::new(),
        },
        (Some("integer"), Value::Number(_)) | (Some("boolean"), Value::Bool(_)) => Vec::new(),
        (None, _) if schema["type"].is_array() => Vec::new(),
        (kind, value) => vec![format!("{at}: {value} is no {kind:?}")],
    }
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

#[test]
fn the_schema_allows_the_shipped_configurations() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    for path in [
        "config/ack.yaml",
        "config/kubernetes.yaml",
        "config/teams/data.yaml",
        "config/teams/lambda.yaml",
        "config/teams/platform.yaml",
        "deploy/base/config/config.yaml",
    ] {
        let value = yaml(&fs::read_to_string(repository(path)).unwrap());
        assert_eq!(disallowed(&schema, &value, path), Vec::<String>::new());
    }
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let schema = schema();
    for text in [
        "defualt_receiver: x",
        "dedup: { window: soon }",
        "dedup: 1h",
        "classify: [ { match: [] } ]",
        "classify: [ { name: a, set: { severity: high } } ]",
        "receivers: [ { name: a } ]",
        "receivers: [ { name: a, slack: { webhook_url: x } } ]",
        "routes: [ { match: [] } ]",
        "routes: [ { receiver: a, continue: 1 } ]",
    ] {
        assert_ne!(
            disallowed(&schema, &yaml(text), ""),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[test]
fn the_schema_knows_every_setting_with_its_default_and_meaning() {
    let schema = schema();
    for setting in prow_notifier::config::settings::SETTINGS {
        let path = setting.key.replace('.', "/properties/");
        let pointer = format!("/properties/{path}");
        let found = schema.pointer(&pointer).unwrap();
        assert_eq!(found["description"], setting.doc, "{}", setting.key);
        assert_eq!(
            found.get("default").is_some(),
            setting.default.is_some(),
            "{}",
            setting.key
        );
    }
}
