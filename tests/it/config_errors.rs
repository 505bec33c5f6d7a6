//! Every kind of mistake in a configuration: exit code 2, and a message with file, line, column and what to do.

mod log_rules;
mod redact;
mod secrets;

use std::{fmt::Write as _, fs, path::Path};

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::program::{Program, program};

/// A secret that must never be seen.
const CANARY: &str = "CANARY";
/// Receivers that need nothing but the file `hook`.
const GOOD: &str = "receivers:\n  - name: platform\n    slack: { webhook_url_file: hook }\ndefault_receiver: platform\n";

/// A folder with a webhook in `hook` and a token in `hmac`.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let url = format!("https://hooks.slack.com/services/T0/B0/{CANARY}");
    write(home.path(), "hook", &url);
    write(home.path(), "hmac", CANARY);
    home
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn check(home: &TempDir) -> Program {
    program(&["check", "--config", "c.yaml"]).within(home.path())
}

/// What `check` says of each mistake, under its name. Every one is a mistake, and tells no secret.
fn complaints(mistakes: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, yaml) in mistakes {
        let home = home();
        write(home.path(), "c.yaml", yaml);
        let said = check(&home).run().refused();
        assert!(!said.contains(CANARY), "{name} tells a secret: {said}");
        write!(out, "# {name}\n{said}\n").unwrap();
    }
    out.trim_end().to_owned()
}

/// A good configuration and this.
fn with(more: &str) -> String {
    format!("{GOOD}{more}")
}

#[test]
fn a_good_configuration_is_fine() {
    let home = home();
    write(
        home.path(),
        "c.yaml",
        &with("sources: { webhook: { hmac_file: hmac } }\n"),
    );
    assert_eq!(
        check(&home).run().ok(),
        "✓ c.yaml\n0 rules, 1 receiver (1 destination), 0 routes\n"
    );
}

#[test]
fn a_mute_window_that_never_ends_is_warned_of() {
    let home = home();
    let window = |name: &str, times: &str| {
        format!(
            "  - {{ name: {name}, timezone: Europe/Berlin, critical: true, times: [{times}] }}\n"
        )
    };
    let always = window("always", "'00:00-12:00', '12:00-24:00'");
    let nights = window("nights", "'20:00-08:00'");
    let hook = "sources: { webhook: { hmac_file: hmac } }\n";
    write(
        home.path(),
        "c.yaml",
        &with(&format!("{hook}mute:\n{always}{nights}")),
    );
    let said = check(&home).run();
    assert_eq!(
        said.stderr,
        "warning: mute window `always` never ends (00:00 to 12:00 and 12:00 to 00:00, Europe/Berlin): what it holds back \
         is never told, not even summed up\n"
    );
    assert_eq!(said.code, 0);
}

#[test]
fn a_mention_that_calls_nobody_is_warned_of() {
    let of = |mention: &str| {
        let home = home();
        let receiver = with("sources: { webhook: { hmac_file: hmac } }\n").replace(
            "webhook_url_file: hook",
            &format!("webhook_url_file: hook, mention_on_critical: \"{mention}\""),
        );
        write(home.path(), "c.yaml", &receiver);
        let said = check(&home).run();
        assert_eq!(said.code, 0);
        said.stderr
    };
    assert_eq!(
        of("@here"),
        "warning: mention_on_critical of receiver `platform` calls nobody: write <!subteam^ID> for a user group, <@ID> for \
         a person, or <!here>\n"
    );
    for mention in ["<!subteam^S0123ABCD>", "On call: <@U0123ABCD>", "<!here>"] {
        assert_eq!(of(mention), "", "{mention}");
    }
}

#[test]
fn pubsub_alone_is_a_source() {
    let home = home();
    let pubsub = "sources:\n  pubsub: { audience: \"https://n.example.org/hooks/pubsub\", service_account: p@x.iam.gserviceaccount.com }\n";
    write(home.path(), "c.yaml", &with(pubsub));
    let said = check(&home).run();
    assert_eq!((said.code, said.stderr.as_str()), (0, ""));
    write(home.path(), "c.yaml", GOOD);
    let said = check(&home).run();
    assert!(
        said.stderr.contains("nothing would ever come in"),
        "{said:?}"
    );
}

#[test]
fn what_is_not_a_configuration_at_all_is_told_with_its_place() {
    assert_snapshot!(complaints(&[
        ("bad YAML", "watch: { types: [postsubmit]\n"),
        ("bad indentation", "store:\n  url: x\n url: y\n"),
        ("a tab", "store:\n\turl: x\n"),
        ("a second document", "default_receiver: a\n---\ndefault_receiver: b\n"),
        ("an alias", "store: &s { retention: 1d }\ndedup: *s\n"),
        ("a list", "- name: x\n"),
        ("a key given twice", "default_receiver: a\ndefault_receiver: b\n"),
    ]), @r"
    # bad YAML
    error: c.yaml:1:8: not valid YAML: unclosed bracket '{'
     1 | watch: { types: [postsubmit]
       |        ^
      hint: check indentation and quotes

    # bad indentation
    error: c.yaml:3:2: not valid YAML: while parsing a block mapping, did not find expected key
     3 |  url: y
       |  ^
      hint: check indentation and quotes

    # a tab
    error: c.yaml:2:2: not valid YAML: tabs disallowed within this context (block indentation)
     2 | 	url: x
       | 	^
      hint: check indentation and quotes

    # a second document
    error: c.yaml:2:1: a second YAML document in one file
     2 | ---
       | ^
      hint: put it in a file of its own

    # an alias
    error: c.yaml:2:8: YAML aliases are not supported
     2 | dedup: *s
       |        ^
      hint: write the value out

    # a list
    error: c.yaml:1:1: the file must be a map of settings
     1 | - name: x
       | ^
      hint: begin with a key such as `classify:`

    # a key given twice
    error: c.yaml:2:1: key `default_receiver` is given twice
     2 | default_receiver: b
       | ^
      hint: it stands on line 1 already; keep one of them
    ");
}

#[test]
fn settings_that_mean_nothing_are_told_with_their_place() {
    assert_snapshot!(complaints(&[
        ("an unknown key", "defualt_receiver: platform\n"),
        ("an unknown key inside", "sources:\n  deck:\n    urll: https://deck\n"),
        ("a section that is text", "dedup: 1h\n"),
        ("a bad duration", "dedup: { window: soon }\n"),
        ("a duration without unit", "watch: { max_age: 48 }\n"),
        ("a bad size", "server: { max_body: 4MB }\n"),
        ("a bad number", "delivery: { rate_per_s: 0 }\n"),
        ("a bad address", "server: { listen: here }\n"),
        ("a store of another kind", "store: { url: \"mysql://me:CANARY@db/prow\" }\n"),
        ("an unknown type of job", "watch: { types: [postsubmits] }\n"),
        ("two mistakes and an unknown key", "dedup: { window: soon, group_wait: -1s }\nbogus: 1\n"),
    ]), @r#"
    # an unknown key
    error: c.yaml:1:1: unknown key `defualt_receiver` in the configuration (did you mean `default_receiver`?)
     1 | defualt_receiver: platform
       | ^

    # an unknown key inside
    error: c.yaml:3:5: unknown key `urll` in `sources.deck` (did you mean `url`?)
     3 |     urll: https://deck
       |     ^

    # a section that is text
    error: c.yaml:1:8: `dedup` must be a map
     1 | dedup: 1h
       |        ^
      hint: its keys are window, group_wait

    # a bad duration
    error: c.yaml:1:18: `soon` is not a value for dedup.window
     1 | dedup: { window: soon }
       |                  ^
      hint: write 90s, 1h30m or 7d

    # a duration without unit
    error: c.yaml:1:19: `48` is not a value for watch.max_age
     1 | watch: { max_age: 48 }
       |                   ^
      hint: write 90s, 1h30m or 7d

    # a bad size
    error: c.yaml:1:21: `4MB` is not a value for server.max_body
     1 | server: { max_body: 4MB }
       |                     ^
      hint: write a size such as 4MiB

    # a bad number
    error: c.yaml:1:25: `0` is not a value for delivery.rate_per_s
     1 | delivery: { rate_per_s: 0 }
       |                         ^
      hint: write a whole number from 1

    # a bad address
    error: c.yaml:1:19: server.listen: `here` is not an address and port
     1 | server: { listen: here }
       |                   ^
      hint: write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080

    # a store of another kind
    error: c.yaml:1:15: store.url: `mysql://***@db/prow` is not a store this version knows
     1 | store: { url: "mysql://**********db/prow" }
       |               ^
      hint: write sqlite:// and a path, such as sqlite:///var/lib/prow-notifier/state.db, or postgres://user@host/database

    # an unknown type of job
    error: c.yaml:1:17: watch.types: `postsubmits` is not a type of job (did you mean `postsubmit`?)
     1 | watch: { types: [postsubmits] }
       |                 ^

    # two mistakes and an unknown key
    error: c.yaml:2:1: unknown key `bogus` in the configuration (known: classify, pipelines, receivers, routes, mute, log_rules, redact, external_url, store, server, sources, backfill, board, silences, watch, dedup, mass, abort, delivery, artifacts, default_receiver, fallback_receiver)
     2 | bogus: 1
       | ^
    c.yaml:1:18: `soon` is not a value for dedup.window
     1 | dedup: { window: soon, group_wait: -1s }
       |                  ^
      hint: write 90s, 1h30m or 7d
    c.yaml:1:36: `-1s` is not a value for dedup.group_wait
     1 | dedup: { window: soon, group_wait: -1s }
       |                                    ^
      hint: write 90s, 1h30m or 7d
    "#);
}

#[test]
fn pauses_of_nothing_and_gaps_without_end_are_refused_with_what_is_the_least() {
    let watch = "sources: { watch: { namespace: prow, renew: 10m } }\n";
    assert_snapshot!(complaints(&[
        ("no pause between reads", &with("artifacts: { retry: { base: 0, cap: 10m } }\n")),
        ("no pause between posts", &with("delivery: { retry: { base: 0s, cap: 0 } }\n")),
        ("a gap at once", &with("backfill: { after: 0 }\n")),
        ("a gap between two polls", &with("sources: { deck: { url: 'https://prow.example', interval: 10m } }\nbackfill: { after: 10m }\n")),
        ("a gap between two watches", &with(&format!("{watch}backfill: {{ after: 10m }}\n"))),
    ]), @"
    # no pause between reads
    error: c.yaml:5:29: artifacts.retry.base: after `0` what failed would be tried again without a pause
     5 | artifacts: { retry: { base: 0, cap: 10m } }
       |                             ^
      hint: write at least 10ms

    # no pause between posts
    error: c.yaml:5:28: delivery.retry.base: after `0s` what failed would be tried again without a pause
     5 | delivery: { retry: { base: 0s, cap: 0 } }
       |                            ^
      hint: write at least 10ms
    c.yaml:5:37: delivery.retry.cap: after `0` what failed would be tried again without a pause
     5 | delivery: { retry: { base: 0s, cap: 0 } }
       |                                     ^
      hint: write at least 100ms

    # a gap at once
    error: c.yaml:5:20: backfill.after: sources that work may tell nothing for longer than `0`, and buckets would be looked through without end
     5 | backfill: { after: 0 }
       |                    ^
      hint: write a little less than Prow keeps ProwJobs, such as 47h; at least 5m

    # a gap between two polls
    error: c.yaml:6:20: backfill.after: sources that work may tell nothing for longer than `10m`, and buckets would be looked through without end
     6 | backfill: { after: 10m }
       |                    ^
      hint: write a little less than Prow keeps ProwJobs, such as 47h; at least 12m

    # a gap between two watches
    error: c.yaml:6:20: backfill.after: sources that work may tell nothing for longer than `10m`, and buckets would be looked through without end
     6 | backfill: { after: 10m }
       |                    ^
      hint: write a little less than Prow keeps ProwJobs, such as 47h; at least 10m30s
    ");
    let home = home();
    write(
        home.path(),
        "c.yaml",
        &with("backfill: { enabled: false, after: 0 }\n"),
    );
    check(&home).run().ok();
}

#[test]
fn rules_that_mean_nothing_are_told_with_their_place() {
    assert_snapshot!(complaints(&[
        ("an unknown label", "classify:\n  - name: a\n    match: ['repoo=\"x\"']\n"),
        ("no quotes", "classify:\n  - name: a\n    match: ['repo=x']\n"),
        ("a bad regular expression", "classify:\n  - name: a\n    match: ['repo=~\"(x\"']\n"),
        ("look-around", "classify:\n  - name: a\n    match: ['repo=~\"(?!test).+\"']\n"),
        ("a label that is set later", "classify:\n  - name: a\n    match: ['service=\"x\"']\n"),
        ("a rule without a name", "classify:\n  - match: ['repo=\"x\"']\n"),
        ("two rules of one name", "classify:\n  - name: a\n  - name: b\n  - name: a\n"),
        ("a variable that nothing fills", "classify:\n  - name: a\n    match: ['repo=~\"(?<service>.+)\"']\n    set: { service: \"$servise\" }\n"),
        ("an unknown severity", "classify:\n  - name: a\n    set: { severity: high }\n"),
        ("a setting that does not exist", "classify:\n  - name: a\n    set: { team: x }\n"),
    ]), @r#"
    # an unknown label
    error: c.yaml:3:13: unknown label `repoo` in matcher `repoo="x"` (did you mean `repo`?)
     3 |     match: ['repoo="x"']
       |             ^

    # no quotes
    error: c.yaml:3:13: cannot read matcher `repo=x`: write it as label="value", with one of = != =~ !~ and the value in double quotes
     3 |     match: ['repo=x']
       |             ^

    # a bad regular expression
    error: c.yaml:3:13: bad regular expression in matcher `repo=~"(x"`: unclosed group
     3 |     match: ['repo=~"(x"']
       |             ^

    # look-around
    error: c.yaml:3:13: bad regular expression in matcher `repo=~"(?!test).+"`: look-around, including look-ahead and look-behind, is not supported
     3 |     match: ['repo=~"(?!test).+"']
       |             ^
      hint: exclude with a matcher of its own, such as 'repo!~"test-.+"'

    # a label that is set later
    error: c.yaml:2:5: rule `a` matches on `service="x"`, which classification itself sets
     2 |   - name: a
       |     ^
      hint: match on type, org, repo, job, ref, cluster, state, verdict, label:<key> or annotation:<key>

    # a rule without a name
    error: c.yaml:2:5: a classify rule needs a name
     2 |   - match: ['repo="x"']
       |     ^
      hint: add `name: ...`; messages and `preview` show it

    # two rules of one name
    error: c.yaml:4:5: a second classify rule named `a`
     4 |   - name: a
       |     ^
      hint: give each rule its own name

    # a variable that nothing fills
    error: c.yaml:4:21: nothing fills `$servise` (did you mean `service`?)
     4 |     set: { service: "$servise" }
       |                     ^
      hint: name a group in a `=~` matcher: (?<name>...)

    # an unknown severity
    error: c.yaml:3:22: unknown severity `high`
     3 |     set: { severity: high }
       |                      ^
      hint: write critical or non-critical

    # a setting that does not exist
    error: c.yaml:3:12: unknown key `team` in set (known: service, controller, component, stage, severity, every, after, runbook)
     3 |     set: { team: x }
       |            ^
    "#);
}

#[test]
fn receivers_and_routes_that_lead_nowhere_are_told_with_their_place() {
    assert_snapshot!(complaints(&[
        ("an unknown receiver in a route", &with("routes:\n  - receiver: platfrom\n")),
        ("a route without a receiver", &with("routes:\n  - match: ['service!=\"\"']\n")),
        ("a severity that there is not", &with("routes:\n  - match: ['severity=\"noncritical\"']\n    receiver: platform\n")),
        ("a bad digest", &with("routes:\n  - receiver: platform\n    digest: hourly\n")),
        ("a continue that is neither", &with("routes:\n  - receiver: platform\n    continue: yes\n")),
        ("two receivers of one name", &format!("{GOOD}routes: []\n").replace("default_receiver", "  - name: platform\n    slack: { webhook_url_file: hook }\ndefault_receiver")),
        ("a receiver without a destination", "receivers:\n  - name: a\n"),
        ("two sources of one webhook", "receivers:\n  - name: a\n    slack: { webhook_url_file: hook, webhook_url_env: HOOK }\n"),
        ("a name with a slash", "receivers:\n  - name: a/b\n    slack: { webhook_url_file: hook }\n"),
        ("an unknown default receiver", &with("").replace("default_receiver: platform", "default_receiver: platfrom")),
        ("an unknown fallback receiver", &with("fallback_receiver: nobody\n")),
        ("a default receiver per service", "receivers:\n  - name: each\n    slack: { webhook_url_dir: . }\ndefault_receiver: each\n"),
        ("no default receiver", "receivers:\n  - name: platform\n    slack: { webhook_url_file: hook }\n"),
    ]), @r#"
    # an unknown receiver in a route
    error: c.yaml:6:15: no receiver is named `platfrom` (did you mean `platform`?)
     6 |   - receiver: platfrom
       |               ^

    # a route without a receiver
    error: c.yaml:6:5: a route needs a receiver
     6 |   - match: ['service!=""']
       |     ^
      hint: add `receiver: ...` with the name of a receiver

    # a severity that there is not
    error: c.yaml:6:13: unknown severity `noncritical` in matcher `severity="noncritical"` (did you mean `non-critical`?)
     6 |   - match: ['severity="noncritical"']
       |             ^

    # a bad digest
    error: c.yaml:7:13: `hourly` is not a duration
     7 |     digest: hourly
       |             ^
      hint: write 90s, 1h30m or 7d

    # a continue that is neither
    error: c.yaml:7:15: `continue` is `yes`
     7 |     continue: yes
       |               ^
      hint: write true or false

    # two receivers of one name
    error: c.yaml:4:11: a second receiver named `platform`
     4 |   - name: platform
       |           ^
      hint: receivers of all files share one name space

    # a receiver without a destination
    error: c.yaml:2:5: receiver `a` has no destination
     2 |   - name: a
       |     ^
      hint: add `slack: { webhook_url_file: ... }`

    # two sources of one webhook
    error: c.yaml:3:38: two sources for one webhook URL
     3 |     slack: { webhook_url_file: hook, webhook_url_env: HOOK }
       |                                      ^
      hint: keep one of webhook_url_file, webhook_url_dir, webhook_url_env

    # a name with a slash
    error: c.yaml:2:11: `a/b` cannot name a receiver
     2 |   - name: a/b
       |           ^
      hint: use a name without slashes

    # an unknown default receiver
    error: c.yaml:4:19: default_receiver: no receiver is named `platfrom` (did you mean `platform`?)
     4 | default_receiver: platfrom
       |                   ^

    # an unknown fallback receiver
    error: c.yaml:5:20: fallback_receiver: no receiver is named `nobody` (known: platform)
     5 | fallback_receiver: nobody
       |                    ^

    # a default receiver per service
    error: c.yaml:4:19: default_receiver: `each` has one webhook per service, so what has no service would be told to nobody
     4 | default_receiver: each
       |                   ^
      hint: name a receiver with webhook_url_file; a route can lead to the services' own before it

    # no default receiver
    error: default_receiver is not set, so runs that no route takes would fall into the void
      hint: add `default_receiver: NAME` with the name of a receiver
    "#);
}

#[test]
fn an_environment_that_means_nothing_is_told_by_name() {
    let home = home();
    write(home.path(), "c.yaml", GOOD);
    let mut out = String::new();
    for (variable, value) in [
        ("PROW_NOTIFIER__SERVER__LISTN", "0.0.0.0:1"),
        ("PROW_NOTIFIER__DEDUP__WINDOW", "soon"),
        ("PROW_NOTIFIER__SERVER__LISTEN", "here"),
        ("PROW_NOTIFIER__DEFAULT_RECEIVER", "platfrom"),
        ("PROW_NOTIFIER__STORE__URL", "mysql://me:CANARY@db"),
    ] {
        let said = check(&home).env(variable, value).run().refused();
        assert!(!said.contains(CANARY), "{said}");
        out.push_str(&said);
    }
    assert_snapshot!(out.trim_end(), @r"
    error: environment variable PROW_NOTIFIER__SERVER__LISTN names no setting (did you mean `server.listen`?)
    error: environment variable PROW_NOTIFIER__DEDUP__WINDOW: `soon` is not a value for dedup.window
      hint: write 90s, 1h30m or 7d
    error: environment PROW_NOTIFIER__SERVER__LISTEN: server.listen: `here` is not an address and port
      hint: write an IP address and a port, such as 0.0.0.0:8080 or [::]:8080
    error: environment PROW_NOTIFIER__DEFAULT_RECEIVER: default_receiver: no receiver is named `platfrom` (did you mean `platform`?)
    error: environment PROW_NOTIFIER__STORE__URL: store.url: `mysql://***@db` is not a store this version knows
      hint: write sqlite:// and a path, such as sqlite:///var/lib/prow-notifier/state.db, or postgres://user@host/database
    ");
}

#[test]
fn a_mistake_in_a_folder_names_its_file() {
    let home = home();
    write(home.path(), "c.yaml/10-good.yaml", GOOD);
    write(
        home.path(),
        "c.yaml/20-team.yaml",
        "routes:\n  - receiver: platfrom\n",
    );
    write(home.path(), "c.yaml/notes.txt", "no configuration: {");
    write(home.path(), "c.yaml/.hidden.yaml", "no configuration: {");
    let said = program(&["check", "--config", "c.yaml"])
        .within(home.path())
        .run()
        .refused();
    assert!(
        said.starts_with("error: c.yaml/20-team.yaml:2:15: no receiver is named `platfrom`"),
        "{said}"
    );
}

#[test]
fn without_a_configuration_it_says_how_to_start() {
    let home = home();
    fs::create_dir(home.path().join("empty")).unwrap();
    let said = program(&["check", "--config", "empty"])
        .within(home.path())
        .run()
        .refused();
    assert_snapshot!(said.trim_end(), @r"
    error: no configuration in empty
      hint: name a file or folder with --config, or see it work without any: prow-notifier demo
    ");
}

#[test]
fn a_preview_needs_neither_receivers_nor_secrets() {
    let home = home();
    for yaml in [
        "watch: { types: [postsubmit] }\n".to_owned(),
        with("").replace("file: hook", "file: none"),
        with("").replace(
            "default_receiver",
            "  - name: each\n    slack: { webhook_url_dir: none/ }\ndefault_receiver",
        ),
    ] {
        write(home.path(), "c.yaml", &yaml);
        let ran = program(&["preview", "--config", "c.yaml"])
            .within(home.path())
            .input("[]")
            .run();
        assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{yaml} {ran:?}");
    }
}

#[test]
fn a_daemon_refuses_to_start_with_what_check_refuses() {
    let home = home();
    write(
        home.path(),
        "c.yaml",
        &with("").replace("file: hook", "file: none"),
    );
    let checked = check(&home).run().refused();
    let served = program(&["serve", "--config", "c.yaml"])
        .within(home.path())
        .run();
    assert_eq!((served.code, served.stderr), (2, checked));
    assert!(!home.path().join("state.db").exists());
}

#[test]
fn runs_may_not_be_forgotten_before_they_are_too_old_to_be_told() {
    let settings = "store: { retention: 1d }\nwatch: { max_age: 2d }\n";
    let said = complaints(&[("a short retention", &with(settings))]);
    for words in ["c.yaml:5:21", "before watch.max_age (2d)", "such as 400d"] {
        assert!(said.contains(words), "{said}");
    }
    let home = home();
    write(home.path(), "c.yaml", &with(&settings.replace("1d", "2d")));
    check(&home).run().ok();
}
