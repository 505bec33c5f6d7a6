//! `store migrate`: a daemon goes on where another stopped, on a server what began in a file and back.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::{
    context::{Context, Setup, failed, passed, postgres, run},
    program::program,
};

fn migrate(from: &str, to: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prow-notifier"))
        .args(["store", "migrate", "--from", from, "--to", to])
        .env_clear()
        .output()
        .unwrap()
}

/// Copies a store, starts a daemon on the copy, and gives what it knows of.
async fn go_on(ctx: &mut Context, from: &str, to: &str) -> u64 {
    ctx.stop().await;
    let done = migrate(from, to);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(String::from_utf8_lossy(&done.stdout).starts_with("copied "));
    ctx.use_store(to);
    ctx.start().await;
    let metrics = ctx
        .until("it leads", |metrics| metrics.sum("leader") == 1)
        .await;
    metrics.sum("open_incidents")
}

#[tokio::test]
async fn a_daemon_goes_on_where_it_stopped_in_another_store() {
    let Some(server) = postgres::new_database() else {
        return;
    };
    run(Setup::default(), async |ctx| {
        let first = format!("sqlite://{}", ctx.store().display());
        ctx.webhook(&failed("s3", 30)).await;
        ctx.webhook(&passed("sqs", 29)).await;
        ctx.messages(2).await;
        ctx.settle().await;
        let open = go_on(ctx, &first, &server).await;
        assert_eq!(open, 1);
        // The window that the file began holds on the server.
        ctx.webhook(&failed("s3", 20)).await;
        ctx.settle().await;
        assert_eq!(ctx.unread(), 0);
        let refused = migrate(&first, &server);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("stop all replicas"));

        let last = format!("{first}.back");
        go_on(ctx, &server, &last).await;
        ctx.webhook(&passed("s3", 10)).await;
        let recovered = ctx.messages(2).await;
        let told = recovered[0].payload.to_string().to_lowercase();
        assert!(told.contains("recovered"), "{told}");
        let refused = migrate(&first, &server);
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("not empty"));
    })
    .await;
}

#[test]
fn what_is_no_store_is_a_mistake_in_usage() {
    for (from, to) in [
        ("mysql://db/n", "sqlite:///tmp/new.db"),
        ("sqlite:///nowhere/state.db", "sqlite:///tmp/new.db"),
        ("postgres://u:hunter2@db/n", "postgres://u:hunter2@db/n"),
    ] {
        let refused = migrate(from, to);
        assert_eq!(refused.status.code(), Some(2), "{from}");
        assert!(!String::from_utf8_lossy(&refused.stderr).contains("hunter2"));
    }
}

/// Renames a table of a stopped daemon's file.
fn rename(file: &Path, from: &str, to: &str) {
    let conn = rusqlite::Connection::open(file).unwrap();
    conn.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}"))
        .unwrap();
}

#[tokio::test]
async fn a_copy_that_breaks_off_leaves_the_target_empty() {
    let Some(server) = postgres::new_database() else {
        return;
    };
    run(Setup::default(), async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.messages(2).await;
        ctx.settle().await;
        ctx.stop().await;
        let (source, file) = (
            format!("sqlite://{}", ctx.store().display()),
            format!("sqlite://{}.copy", ctx.store().display()),
        );
        for target in [&server, &file] {
            // The last table that is read.
            rename(&ctx.store(), "poison", "elsewhere");
            let broken = migrate(&source, target);
            assert_eq!(broken.status.code(), Some(1));
            let said = String::from_utf8_lossy(&broken.stderr).into_owned();
            assert!(said.contains("poison"), "{said}");
            rename(&ctx.store(), "elsewhere", "poison");
            let again = migrate(&source, target);
            let said = String::from_utf8_lossy(&again.stderr).into_owned();
            assert_eq!(again.status.code(), Some(0), "{said}");
        }
    })
    .await;
}

/// How many observations wait in a stopped daemon's file.
fn waiting(inbox: &Path) -> u64 {
    let conn = rusqlite::Connection::open(inbox).unwrap();
    conn.query_row("SELECT count(*) FROM inbox", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_copy_that_was_cut_off_between_its_two_files_is_made_anew() {
    run(Setup::default(), async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.messages(2).await;
        ctx.settle().await;
        ctx.stop().await;
        let from = format!("sqlite://{}", ctx.store().display());
        let file = ctx.store().with_file_name("copy.db");
        let to = format!("sqlite://{}", file.display());
        assert_eq!(migrate(&from, &to).status.code(), Some(0));
        // The inbox is whole on the disk, the other file is not.
        let inbox = file.with_extension("inbox.db");
        let before = waiting(&inbox);
        let conn = rusqlite::Connection::open(&inbox).unwrap();
        conn.execute_batch("INSERT INTO inbox VALUES (77, 0, 'left over')")
            .unwrap();
        drop(conn);
        std::fs::remove_file(&file).unwrap();
        let again = migrate(&from, &to);
        let said = String::from_utf8_lossy(&again.stderr).into_owned();
        assert_eq!(again.status.code(), Some(0), "{said}");
        assert_eq!(waiting(&inbox), before);
        ctx.use_store(&to);
        ctx.start().await;
        ctx.webhook(&passed("s3", 10)).await;
        ctx.messages(2).await;
    })
    .await;
}

#[tokio::test]
async fn a_file_that_a_daemon_runs_on_is_left_to_it() {
    run(Setup::default(), async |ctx| {
        let from = format!("sqlite://{}", ctx.store().display());
        let other = ctx.store().with_file_name("copy.db");
        let other = format!("sqlite://{}", other.display());
        for (from, to) in [(&from, &other), (&other, &from)] {
            let refused = migrate(from, to);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains("another process runs on it"), "{said}");
        }
        let second = program(&["serve"])
            .config(ctx.config())
            .env("PROW_NOTIFIER__SERVER__LISTEN", "127.0.0.1:0")
            .run();
        assert_eq!(second.code, 1, "{second:?}");
        assert!(
            second.stderr.contains("two would tell everything twice"),
            "{second:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn a_copy_never_shares_a_file_with_what_is_copied() {
    run(Setup::default(), async |ctx| {
        ctx.webhook(&failed("s3", 30)).await;
        ctx.messages(2).await;
        ctx.stop().await;
        let from = format!("sqlite://{}", ctx.store().display());
        let folder = ctx.store().parent().unwrap().to_owned();
        for other in [
            folder.join("state.copy"),
            folder.join(".").join("state.new"),
        ] {
            let refused = migrate(&from, &format!("sqlite://{}", other.display()));
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains("give it another name or folder"), "{said}");
        }
    })
    .await;
}
