//! Mistakes with webhooks, tokens and hosts: told with file and receiver, and never with what is secret.

use std::fmt::Write as _;

use insta::assert_snapshot;

use super::{CANARY, GOOD, check, complaints, home, with, write};

#[test]
fn webhooks_that_cannot_be_used_are_told_with_file_and_receiver() {
    let of = |slack: &str| {
        format!(
            "receivers:\n  - name: team\n    slack: {{ {slack} }}\n  - name: platform\n    slack: {{ webhook_url_file: hook }}\ndefault_receiver: platform\n"
        )
    };
    assert_snapshot!(complaints(&[
        ("a file that is not there", &of("webhook_url_file: secrets/none")),
        ("a folder that is not there", &of("webhook_url_dir: secrets/none")),
        ("a variable that is not set", &of("webhook_url_env: TEAM_HOOK")),
        ("the address itself", &of("webhook_url_file: \"https://hooks.slack.com/services/T0/B0/CANARY\"")),
        ("the address under another key", &of("webhook_url: \"https://hooks.slack.com/services/T0/B0/CANARY\"")),
    ]), @r#"
    # a file that is not there
    error: c.yaml:2:11: receiver `team`: cannot read secrets/none: No such file or directory (os error 2)
     2 |   - name: team
       |           ^
      hint: put the webhook URL, and nothing else, into that file; its path is relative, so it begins in the folder where prow-notifier is started

    # a folder that is not there
    error: c.yaml:2:11: receiver `team`: cannot list secrets/none: No such file or directory (os error 2)
     2 |   - name: team
       |           ^
      hint: mount the secret with one file per service there

    # a variable that is not set
    error: c.yaml:2:11: receiver `team`: environment variable TEAM_HOOK is not set
     2 |   - name: team
       |           ^
      hint: set it to the webhook URL

    # the address itself
    error: c.yaml:3:32: `webhook_url_file` names a file or variable, it is not the URL itself
     3 |     slack: { webhook_url_file: "https://hooks.slack.com**********************" }
       |                                ^
      hint: put the URL into a file and name the file

    # the address under another key
    error: c.yaml:3:14: unknown key `webhook_url` in slack (known: webhook_url_file, webhook_url_dir, webhook_url_env, mention_on_critical)
     3 |     slack: { webhook_url: "https://hooks.slack.com**********************" }
       |              ^
    "#);
}

#[test]
fn what_stands_in_a_webhooks_file_is_checked_and_not_shown() {
    let mut out = String::new();
    for (name, url) in [
        ("nothing", ""),
        ("no address", "CANARY"),
        ("plain http", "http://hooks.slack.com/services/CANARY"),
        (
            "another host",
            "https://hooks.slack.com.evil.example/services/CANARY",
        ),
        (
            "a user name",
            "https://CANARY:CANARY@hooks.slack.com/services/CANARY",
        ),
        ("an inner address", "https://10.0.0.7/services/CANARY"),
        (
            "a loopback address that is not listed",
            "http://127.0.0.1:9000/services/CANARY",
        ),
    ] {
        let home = home();
        write(home.path(), "c.yaml", GOOD);
        write(home.path(), "hook", url);
        let said = check(&home).run().refused();
        assert!(!said.contains(CANARY), "{name} tells a secret: {said}");
        write!(out, "# {name}\n{said}\n").unwrap();
    }
    assert_snapshot!(out.trim_end(), @r"
    # nothing
    error: c.yaml:2:11: receiver `platform`: hook is empty
     2 |   - name: platform
       |           ^
      hint: put the webhook URL, and nothing else, into that file

    # no address
    error: c.yaml:2:11: receiver `platform`: webhook is not a web address, it should begin with https://
     2 |   - name: platform
       |           ^
      hint: the webhook URL stands in hook

    # plain http
    error: c.yaml:2:11: receiver `platform`: webhook on hooks.slack.com is not https; plain http is only for a loopback address that stands with its port in delivery.allowed_hosts
     2 |   - name: platform
       |           ^
      hint: the webhook URL stands in hook

    # another host
    error: c.yaml:2:11: receiver `platform`: webhook host hooks.slack.com.evil.example is not allowed, add it to delivery.allowed_hosts
     2 |   - name: platform
       |           ^
      hint: the webhook URL stands in hook

    # a user name
    error: c.yaml:2:11: receiver `platform`: webhook address on hooks.slack.com has a user name in it, remove it
     2 |   - name: platform
       |           ^
      hint: the webhook URL stands in hook

    # an inner address
    error: c.yaml:2:11: receiver `platform`: webhook host 10.0.0.7 is not a public address, Slack's is
     2 |   - name: platform
       |           ^
      hint: the webhook URL stands in hook

    # a loopback address that is not listed
    error: c.yaml:2:11: receiver `platform`: webhook on 127.0.0.1:9000 is not https; plain http is only for a loopback address that stands with its port in delivery.allowed_hosts
     2 |   - name: platform
       |           ^
      hint: the webhook URL stands in hook
    ");
}

#[test]
fn sources_and_hosts_that_cannot_be_used_are_told_with_their_place() {
    assert_snapshot!(complaints(&[
        ("a token file that is not there", &with("sources: { webhook: { hmac_file: none } }\n")),
        ("a deck that is no address", &with("sources: { deck: { url: deck.example.org } }\n")),
        ("a deck of another scheme", &with("sources: { deck: { url: \"ftp://me:CANARY@deck\" } }\n")),
        ("a host that is an address", &with("delivery: { allowed_hosts: [\"https://relay/CANARY\"] }\n")),
        ("a host with a port", &with("delivery: { allowed_hosts: [\"relay.example.org:8443\"] }\n")),
        ("an inner host", &with("delivery: { allowed_hosts: [10.0.0.7] }\n")),
    ]), @r#"
    # a token file that is not there
    error: c.yaml:5:34: sources.webhook.hmac_file: cannot read none: No such file or directory (os error 2)
     5 | sources: { webhook: { hmac_file: none } }
       |                                  ^
      hint: mount Prow's HMAC secret there

    # a deck that is no address
    error: c.yaml:5:25: sources.deck.url: not a URL (relative URL without a base); write it as https://prow.example.com
     5 | sources: { deck: { url: deck.example.org } }
       |                         ^

    # a deck of another scheme
    error: c.yaml:5:25: sources.deck.url: scheme ftp is not one that deck speaks; write the URL with http:// or https://
     5 | sources: { deck: { url: "ftp://**********deck" } }
       |                         ^

    # a host that is an address
    error: c.yaml:5:28: delivery.allowed_hosts: entry 1 of allowed_hosts is not a host name, write only the host, such as "hooks.slack.com"
     5 | delivery: { allowed_hosts: ["https://relay*******"] }
       |                            ^

    # a host with a port
    error: c.yaml:5:28: delivery.allowed_hosts: entry 1 of allowed_hosts has a port, which is only for plain http to a loopback address, such as "127.0.0.1:9000"; for https write the host without a port
     5 | delivery: { allowed_hosts: ["relay.example.org:8443"] }
       |                            ^

    # an inner host
    error: c.yaml:5:28: delivery.allowed_hosts: entry 1 of allowed_hosts is an inner address, only public ones are posted to; a receiver on this machine is allowed with its port, such as "127.0.0.1:9000"
     5 | delivery: { allowed_hosts: [10.0.0.7] }
       |                            ^
    "#);
}

#[test]
fn a_token_file_that_is_none_is_told_without_its_content() {
    let home = home();
    write(
        home.path(),
        "c.yaml",
        &with("sources: { webhook: { hmac_file: hmac } }\n"),
    );
    write(home.path(), "hmac", "CANARY:\n  - CANARY\n");
    let said = check(&home).run().refused();
    assert!(!said.contains(CANARY), "{said}");
    assert_snapshot!(said.trim_end(), @r#"
    error: c.yaml:5:34: sources.webhook.hmac_file: hmac token file hmac: several lines that are not a map of org, org/repo or "*" to a list of {value: TOKEN}
     5 | sources: { webhook: { hmac_file: hmac } }
       |                                  ^
    "#);
}
