//! What the program says to who gets something other than the configuration wrong: what failed, where, and what to do,
//! once and in words.

use std::{fs, net::TcpListener, path::Path, process::Command};

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::program::{Program, Ran, program};

const GOOD: &str = "receivers: [{ name: team, slack: { webhook_url_file: hook } }]\ndefault_receiver: team\n\
                    store: { url: \"sqlite://state.db\" }\n";

/// Nothing listens on the port of discarded bytes.
const NOBODY: &str = "server: { listen: \"127.0.0.1:9\" }\n";

/// A folder with a configuration, and more settings in it.
fn home(more: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let hook = "https://hooks.slack.com/services/T0/B0/SECRET";
    fs::write(home.path().join("hook"), hook).unwrap();
    fs::write(home.path().join("c.yaml"), format!("{GOOD}{more}")).unwrap();
    home
}

fn within(home: &Path, args: &[&str]) -> Program {
    program(args).config("c.yaml").within(home)
}

/// What it said, once it ended with 1.
fn no(ran: Ran) -> String {
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    ran.stderr
}

#[test]
fn a_time_that_is_none_is_refused_with_one_that_is() {
    for args in [
        &["backfill", "--since", "tomorrow"][..],
        &["backfill", "--since", "2026-13-40"],
        &[
            "backfill",
            "--since",
            "2026-07-01T18:00:00Z",
            "--until",
            "24h",
        ],
        &[
            "silence",
            "add",
            "a=\"b\"",
            "--reason",
            "x",
            "--until",
            "2026-07-01",
        ],
        &[
            "silence", "add", "a=\"b\"", "--reason", "x", "--for", "1h", "--from", "now",
        ],
    ] {
        let said = program(args).run().refused();
        assert!(
            said.contains("and a zone, such as 2026-07-01T18:00:00Z\n"),
            "{args:?}: {said}"
        );
    }
    let said = program(&[
        "exec",
        "--stage",
        "a",
        "--needs-timeout",
        "soon",
        "--",
        "true",
    ]);
    let said = said.run().refused();
    assert!(said.contains("write a duration such as 90s"), "{said}");
}

#[test]
fn a_number_that_is_none_is_refused_with_where_it_stands() {
    for args in [
        &["silence", "expire", "nights"][..],
        &["deliveries", "replay", "0123abcd"],
    ] {
        let said = program(args).run().refused();
        let line = said.lines().next().unwrap_or_default();
        let way = "write the number with which its line begins in `list`";
        assert!(line.ends_with(way), "{line}");
    }
}

#[test]
fn a_full_disk_behind_the_output_is_an_error_and_no_panic() {
    let script = |redirection: &str| {
        let script = format!(
            "\"{}\" config schema {redirection}",
            env!("CARGO_BIN_EXE_prow-notifier")
        );
        let ended = Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        (ended.status.code(), said)
    };
    let (code, said) = script("> /dev/full");
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "error: cannot write the output: No space left on device (os error 28)\n"
    );
    // There is nobody left to tell.
    assert_eq!(script("> /dev/full 2> /dev/full"), (Some(1), String::new()));
}

#[test]
fn a_store_that_cannot_be_used_says_why_once() {
    let home = home(NOBODY);
    let file = home.path().join("state.db");
    fs::write(
        &file,
        "no database, and longer than what one begins with: ".repeat(5),
    )
    .unwrap();
    let said = no(within(home.path(), &["explain", "x"]).run());
    assert_snapshot!(said.trim_end(), @"error: cannot use the store state.db: the file is not an SQLite database, check `store.url`: file is not a database");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let said = no(within(home.path(), &["explain", "x"]).run());
    assert_snapshot!(said.trim_end(), @"error: cannot use the store state.db: it cannot be opened, check that path and permissions are right: unable to open database file: state.db");
    let args = ["--to", "postgres://u:SECRET@127.0.0.1:9/x"];
    let copy = |more: &[&str]| {
        fs::write(home.path().join("other.db"), "").unwrap();
        let from = ["store", "migrate", "--from", "sqlite://other.db"];
        let copy = program(&from).args(args).args(more).within(home.path());
        no(copy.run())
    };
    assert_snapshot!(copy(&[]).trim_end(), @"error: cannot use the store postgres://u@127.0.0.1:9/x now: the server cannot be reached, check that it runs and the network (error connecting to server: Connection refused (os error 111))");
    assert_snapshot!(copy(&["--password-file", "none"]).trim_end(), @"error: cannot use the store postgres://u@127.0.0.1:9/x now: the file with the password cannot be read, check its path and permissions (cannot read none: No such file or directory (os error 2))");
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_is_not_writable_is_named_with_what_to_do() {
    // Not even root may make a file there.
    let store = "sqlite:///sys/state.db";
    let home = home("");
    let serve = within(home.path(), &["serve"]).env("PROW_NOTIFIER__STORE__URL", store);
    let said = no(serve.run());
    let named =
        "error: cannot use the store /sys/state.db: its folder /sys is not writable for user ";
    assert!(said.starts_with(named), "{said}");
    assert!(
        said.contains("fsGroup") && said.contains("`store.url`"),
        "{said}"
    );
}

#[test]
fn a_daemon_that_cannot_listen_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap();
    for (address, what) in [
        (taken.to_string(), "end it, or set server.listen"),
        // From the block for documentation, which no machine has.
        (
            "192.0.2.1:8080".to_owned(),
            "this machine has no such address",
        ),
    ] {
        let home = home(&format!("server: {{ listen: \"{address}\" }}\n"));
        let said = no(within(home.path(), &["serve"]).run());
        assert!(
            said.starts_with(&format!("error: cannot listen on {address} (")),
            "{said}"
        );
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn an_address_that_leads_to_no_daemon_is_named_with_the_reason() {
    for address in [
        "releases.example.com",
        "localhost:8080",
        "ftp://user:SECRET@host",
    ] {
        let said = program(&["explain", "x", "--url", address]).run().refused();
        assert!(
            said.contains("give --url or PROW_NOTIFIER_URL as https://"),
            "{said}"
        );
        assert!(!said.contains("SECRET"), "{said}");
    }
    let said = no(program(&["explain", "x", "--url", "http://u:SECRET@127.0.0.1:9"]).run());
    assert_snapshot!(said.trim_end(), @"error: no daemon answers at http://***@127.0.0.1:9 (Connection refused (os error 111)); is it running, and is this its address?");
    let said = program(&["init", "--deck", "deck"]).run().refused();
    assert!(said.starts_with("error: --deck: not a URL"), "{said}");
}

#[test]
fn files_of_another_kind_are_named_with_what_they_should_be() {
    let home = home(NOBODY);
    fs::write(home.path().join("binary"), [0xff, 0xfe, 0]).unwrap();
    fs::write(home.path().join("list"), "[{}]").unwrap();
    let said = program(&["check", "--config", "binary"]).within(home.path());
    assert_snapshot!(said.run().refused().trim_end(), @r"
    error: binary is not a text file in UTF-8
      hint: name a YAML file with --config
    ");
    let backtest = |flag: &str| {
        let args = ["backtest", "--history", "-", flag, "list"];
        within(home.path(), &args).run().refused()
    };
    let said = backtest("--truth");
    assert!(said.contains("which is {\"incidents\": [..]}"), "{said}");
    let said = backtest("--logs");
    assert!(
        said.starts_with("error: list:1: not a log, which is"),
        "{said}"
    );
    let said = backtest("--silences");
    assert!(
        said.contains("`silence list --all --format json` prints"),
        "{said}"
    );
}

#[test]
fn what_is_empty_is_said_as_it_was_asked_for() {
    let home = home(NOBODY);
    // An empty file is an empty store.
    fs::write(home.path().join("state.db"), "").unwrap();
    for (args, said) in [
        (
            &["deliveries", "list"][..],
            "nothing was sent or is to be sent\n",
        ),
        (
            &["deliveries", "list", "--dead"],
            "there is no dead letter\n",
        ),
        (
            &["deliveries", "list", "--receiver", "taem"],
            "nothing was sent or is to be sent to this receiver: none is named `taem` (did you mean `team`?)\n",
        ),
        (&["silence", "list"], "no silence is in force or to come\n"),
        (&["silence", "list", "--all"], "there is no silence\n"),
    ] {
        let ran = within(home.path(), args).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, said), "{args:?}");
    }
    let said = within(home.path(), &["explain", ""]).run().refused();
    assert!(
        said.contains("a value is required for '<RUN|NOTIFICATION>'"),
        "{said}"
    );
}
