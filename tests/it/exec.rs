//! `exec` as jobs use it: the command's own exit code, signals, streams and terminal, nothing left behind, and a
//! failure that is told at once and only once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use prow_notifier::{
    clock::Clock,
    prow::signature::{DATED_HEADER, sign_dated},
    standin::prow::Job,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::context::{Context, Reply, Setup, TOKEN, failed, hooks, run, text};

/// `exec` with these arguments and only a path in its environment.
fn exec(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_prow-notifier"));
    command.args(["exec", "--stage", "publish"]).args(args);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// A script under `exec`.
fn script(script: &str) -> Command {
    exec(&["--", "sh", "-c", script])
}

fn ran(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Starts it and waits for the first line that it prints.
fn begun(mut command: Command) -> (Child, String, BufReader<std::process::ChildStdout>) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    (child, line.trim_end().to_owned(), stdout)
}

fn kill(signal: &str, pid: u32) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args(["-s", signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// Whether a process is there and no zombie.
fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, after)| after.chars().next());
    state.is_some_and(|state| state != Some('Z'))
}

#[test]
fn exit_codes_are_the_commands() {
    for code in [0, 1, 2, 42, 126, 127, 255] {
        let output = ran(script(&format!("exit {code}")));
        assert_eq!(output.status.code(), Some(code));
        assert_eq!((out(&output), err(&output)), ("", ""));
    }
}

#[test]
fn a_second_command_that_would_never_run_is_refused_before_the_first_one_runs() {
    let output = ran(exec(&["--", "echo", "a", "--and", "echo", "b"]));
    assert_eq!((output.status.code(), out(&output)), (Some(2), ""));
    assert_eq!(
        err(&output),
        "error: --and stands between commands only with --all; add --all, or hide a --and of the command's own in sh -c \
         '...'\n"
    );
    let output = ran(script("echo --and"));
    assert_eq!((output.status.code(), out(&output)), (Some(0), "--and\n"));
}

#[test]
fn a_death_by_signal_is_told_as_a_shell_tells_it() {
    for (signal, code) in [("TERM", 143), ("KILL", 137), ("INT", 130), ("SEGV", 139)] {
        let output = ran(script(&format!("kill -s {signal} $$")));
        assert_eq!(output.status.code(), Some(code), "{signal}");
        assert_eq!(output.status.signal(), None);
    }
}

#[test]
fn what_cannot_be_run_is_told_as_a_shell_tells_it() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let cases = [
        ("no-such-program".to_owned(), 127),
        (file("text", "exit 3\n", 0o644), 126),
        (home.path().display().to_string(), 126),
        (file("bare", "exit 3\n", 0o755), 3),
        (file("script", "#!/bin/sh\nexit 4\n", 0o755), 4),
    ];
    for (program, code) in cases {
        let output = ran(exec(&["--", &program]));
        assert_eq!(output.status.code(), Some(code), "{program}: {output:?}");
        let says_why = err(&output).starts_with("prow-notifier: cannot run ");
        assert_eq!(says_why, code > 100, "{program}: {output:?}");
    }
}

#[test]
fn input_and_output_pass_through_unchanged() {
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let mut child = exec(&["--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = bytes.clone();
    let feeding = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == bytes, "{} bytes", output.stdout.len());
    let output = ran(script(
        "echo one; echo two >&2; printf three; printf four >&2",
    ));
    assert_eq!((out(&output), err(&output)), ("one\nthree", "two\nfour"));
}

#[test]
fn output_is_passed_on_as_it_comes() {
    let mut child = exec(&["--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    for piece in [b"no line break", b"and no delay."] {
        stdin.write_all(piece).unwrap();
        let mut read = [0; 13];
        stdout.read_exact(&mut read).unwrap();
        assert_eq!(&read, piece);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn two_streams_to_one_place_stay_in_order() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = script("for i in $(seq 300); do echo out $i; echo err $i >&2; done");
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    assert!(child.wait().unwrap().success());
    let wanted = (1..=300).flat_map(|i| [format!("out {i}"), format!("err {i}")]);
    assert_eq!(all.lines().collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
}

#[test]
fn a_reader_that_goes_ends_the_command_as_in_a_pipeline() {
    let mut child = exec(&["--", "yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut read = [0; 4];
    child.stdout.take().unwrap().read_exact(&mut read).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
    let closed = Command::new("sh")
        .args(["-c", "\"$0\" exec --stage s -- sh -c 'echo x; exit 4' >&-"])
        .arg(env!("CARGO_BIN_EXE_prow-notifier"))
        .status();
    assert_eq!(closed.unwrap().code(), Some(4));
}

#[test]
fn much_output_takes_little_memory() {
    const SIZE: u64 = 200 << 20;
    let printing = format!("head -c {SIZE} /dev/zero; grep VmHWM /proc/$PPID/status");
    let mut child = script(&printing).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let zeroes = std::io::copy(&mut (&mut stdout).take(SIZE), &mut std::io::sink()).unwrap();
    assert_eq!(zeroes, SIZE);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    let peak: u64 = rest.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 48 << 10, "{peak} KiB");
}

#[test]
fn signals_reach_the_whole_command() {
    for (signal, code) in [
        ("TERM", 143),
        ("INT", 130),
        ("HUP", 129),
        ("QUIT", 131),
        ("USR1", 138),
    ] {
        // The one that waits and the one that it waits for are both told.
        let (child, inner, _stdout) = begun(script("sh -c 'echo $$; exec sleep 100'; exit 1"));
        kill(signal, child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{signal}: {output:?}");
        assert!(!lives(&inner));
    }
}

#[test]
fn a_command_may_answer_a_signal_in_its_own_way() {
    let (child, _, mut stdout) = begun(script(
        "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done",
    ));
    kill("TERM", child.id());
    let output = child.wait_with_output().unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((output.status.code(), rest.as_str()), (Some(5), "bye\n"));
}

#[test]
fn stopping_and_going_on_take_the_command_along() {
    let (child, inner, _stdout) = begun(script("echo $$; exec sleep 100"));
    let state = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
    };
    let both = |wanted: &[char]| {
        let begun = Instant::now();
        let outer = child.id().to_string();
        while !(wanted.contains(&state(&outer)) && wanted.contains(&state(&inner))) {
            assert!(begun.elapsed() < Duration::from_secs(30), "not {wanted:?}");
            std::thread::yield_now();
        }
    };
    kill("TSTP", child.id());
    both(&['T']);
    kill("CONT", child.id());
    both(&['S', 'R']);
    kill("TERM", child.id());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
}

#[test]
fn nothing_that_a_command_began_outlives_it() {
    for leaving in [
        "sleep 100 & echo $!",
        "setsid sleep 100 & echo $!",
        "sh -c 'sleep 100 & echo $!'",
        "(trap '' TERM; echo $(exec sh -c 'echo $PPID'); while :; do sleep 1; done) & sleep 0.2",
    ] {
        let begun = Instant::now();
        let output = ran(script(&format!("{leaving}; exit 3")));
        assert_eq!(output.status.code(), Some(3), "{leaving}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{leaving}");
        let pid = out(&output).trim();
        assert!(!pid.is_empty() && !lives(pid), "{leaving}: {pid} lives");
        assert!(
            err(&output).contains("left behind"),
            "{leaving}: {output:?}"
        );
    }
}

#[test]
fn on_a_terminal_the_command_sees_the_terminal() {
    let own = env!("CARGO_BIN_EXE_prow-notifier");
    let inner = "test -t 0 && test -t 1 && test -t 2 && read line && echo got $line && exit 7";
    let line = format!("{own} exec --stage s -- sh -c '{inner}'");
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"word\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert!(out(&output).contains("got word"), "{output:?}");
}

#[test]
fn of_several_commands_at_once_none_loses_its_exit_code() {
    let both =
        "sh -c 'echo a; exit 0' --and sh -c 'echo b; echo c >&2; exit 7' --and sh -c 'echo d'";
    let line = format!("exec \"$0\" exec --stage s --all -- {both}");
    let output = Command::new("sh")
        .args(["-c", &line, env!("CARGO_BIN_EXE_prow-notifier")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    let mut lines: Vec<&str> = out(&output).lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["[1] a", "[2] b", "[3] d"]);
    assert!(err(&output).contains("[2] c\n"), "{output:?}");
    let named = "prow-notifier: 1 of 3 commands failed: [2] sh ended with exit code 7\n";
    assert!(err(&output).ends_with(named), "{output:?}");
}

#[test]
fn several_commands_run_at_once_and_all_are_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let fifo = home.path().join("fifo").display().to_string();
    let made = Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    // The first cannot end before the third has begun, and the second fails at once.
    let (first, third) = (format!("cat {fifo}"), format!("echo met > {fifo}"));
    let output = ran(exec(&[
        "--all", "--", "sh", "-c", &first, "--and", "false", "--and", "sh", "-c", &third,
    ]));
    assert_eq!((output.status.code(), out(&output)), (Some(1), "[1] met\n"));
    let output = ran(exec(&["--all", "--", "true", "--and"]));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn cleaning_up_follows_a_failure_and_changes_nothing_of_it() {
    let on_fail = ["--on-fail", "echo cleaned; exit 3", "--", "sh", "-c"];
    let with = |script: &'static str| ran(exec(&[&on_fail[..], &[script]].concat()));
    let output = with("echo work; exit 9");
    assert_eq!(output.status.code(), Some(9));
    assert_eq!(out(&output), "work\ncleaned\n");
    assert!(err(&output).contains("cleaning up failed: sh ended with exit code 3"));
    let output = with("echo work");
    assert_eq!((output.status.code(), out(&output)), (Some(0), "work\n"));
}

/// Answers each request by its method and target: a status and a header line. Ends with the test.
fn server(answer: impl Fn(&str, &str) -> (u16, String) + Send + 'static) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let first = head.first().cloned().unwrap_or_default();
            let (method, target) = first.split_once(' ').unwrap_or_default();
            let target = target.split(' ').next().unwrap();
            let authorized = head
                .iter()
                .any(|line| line.eq_ignore_ascii_case("authorization: Bearer anonymous"));
            let target = if authorized {
                format!("{target} as anonymous")
            } else {
                target.to_owned()
            };
            let (status, more) = answer(method, &target);
            let body = r#"{"token":"anonymous"}"#;
            let length = if method == "HEAD" { 0 } else { body.len() };
            let body = body.get(..length).unwrap();
            let answer = format!(
                "HTTP/1.1 {status} X\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            drop((&stream).write_all(answer.as_bytes()));
        }
    });
    address
}

/// Runs `echo begun` with these needs.
fn needing(needs: &[&str]) -> Output {
    let needs = needs.iter().flat_map(|need| ["--needs", need]);
    let args: Vec<&str> = needs.chain(["--", "echo", "begun"]).collect();
    ran(exec(&args))
}

#[test]
fn a_command_begins_only_with_what_it_needs() {
    let site = server(|_, target| (if target == "/good" { 204 } else { 503 }, String::new()));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("chart.tgz");
    fs::write(&file, "").unwrap();
    let (file, good) = (file.display().to_string(), format!("http://{site}/good"));
    let output = needing(&[&file, &good]);
    assert_eq!((output.status.code(), out(&output)), (Some(0), "begun\n"));
    let bad = format!("http://{site}/bad");
    for (missing, why) in [
        ("/no/such/file", "No such file"),
        (bad.as_str(), "503"),
        ("http://127.0.0.1:1/", "refused"),
    ] {
        let output = needing(&[&good, missing, &file]);
        assert_eq!((output.status.code(), out(&output)), (Some(78), ""));
        let line = err(&output);
        assert!(line.contains(missing) && line.contains(why), "{line}");
        assert!(!line.contains(&file) && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn images_are_looked_up_as_nobody_in_particular() {
    let own = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let known = std::sync::Arc::clone(&own);
    let registry = server(move |method, target| {
        let realm = format!("http://{}/token", known.get().unwrap());
        let challenge = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"here\"\r\n");
        match (method, target) {
            ("GET", "/token?service=here&scope=repository%3Aa%2Fb%3Apull")
            | ("HEAD", "/v2/open/manifests/v1" | "/v2/a/b/manifests/v1 as anonymous") => {
                (200, String::new())
            }
            ("HEAD", "/v2/a/b/manifests/v1") => (401, challenge),
            _ => (404, String::new()),
        }
    });
    own.set(registry.clone()).unwrap();
    let closed = server(|_, _| (403, String::new()));
    let (open, secured) = (
        format!("docker://{registry}/open:v1"),
        format!("{registry}/a/b:v1"),
    );
    assert_eq!(out(&needing(&[&open, &secured])), "begun\n");
    for missing in [format!("{registry}/a/b:v2"), format!("docker://{closed}/a")] {
        let output = needing(&[&missing]);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        assert!(err(&output).contains(&missing), "{output:?}");
    }
}

/// What Prow tells a run's processes.
fn job_spec(job: &Job) -> String {
    let job = job.to_json();
    json!({
        "type": job["spec"]["type"],
        "job": job["spec"]["job"],
        "refs": job["spec"]["refs"],
        "buildid": job["status"]["build_id"],
        "prowjobid": job["metadata"]["name"],
    })
    .to_string()
}

fn token(home: &TempDir) -> String {
    let file = home.path().join("token");
    fs::write(&file, format!("{TOKEN}\n")).unwrap();
    file.display().to_string()
}

/// Runs a script inside a run of this job, which reports to the daemon.
async fn inside(ctx: &Context, job: &Job, script: &'static str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = exec(&["--token-file", &token(&home), "--", "sh", "-c", script]);
    command.env("JOB_SPEC", job_spec(job));
    command.env(
        "PROW_NOTIFIER_REPORT_URL",
        format!("http://{}", ctx.address()),
    );
    let output = tokio::task::spawn_blocking(move || ran(command))
        .await
        .unwrap();
    drop(home);
    output
}

#[tokio::test]
async fn a_failure_is_told_while_its_run_still_runs_and_not_again() {
    run(Setup::with_deck(), async |ctx| {
        let end = failed("s3", 0);
        let pending = end.clone().ended("pending", "", None);
        ctx.webhook(&pending).await;
        let output = inside(ctx, &end, "echo boom; exit 2").await;
        assert_eq!((output.status.code(), err(&output)), (Some(2), ""));
        let messages = ctx.messages(2).await;
        assert_eq!(hooks(&messages), ["platform", "s3"]);
        for part in [
            "s3-controller",
            "publish",
            "v1.2.3",
            "sh ended with exit code 2",
        ] {
            assert!(text(&messages[0]).contains(part), "{}", text(&messages[0]));
        }
        // The same end comes by webhook and through deck.
        ctx.webhook(&pending).await;
        ctx.webhook(&end).await;
        ctx.deck.upsert(end.to_json());
        let metrics = ctx.polled().await;
        assert_eq!(
            (metrics.decided("notify"), metrics.decided("recovered")),
            (1, 0)
        );
        assert_eq!(metrics.get("observations_total{source=\"exec\"}"), 1);
        let trail = ctx.explain(&end.name()).unwrap();
        assert_eq!(trail["run"]["provisional"], false, "{trail}");
    })
    .await;
}

#[tokio::test]
async fn a_run_that_passes_after_all_takes_its_failure_back() {
    run(Setup::default(), async |ctx| {
        let mut end = failed("s3", 0);
        inside(ctx, &end, "exit 1").await;
        ctx.messages(2).await;
        end = end.ended("success", "Job succeeded.", Some(Clock::System.now()));
        ctx.webhook(&end).await;
        let messages = ctx.messages(2).await;
        assert!(
            text(&messages[0]).contains("passed in the end"),
            "{}",
            text(&messages[0])
        );
        let metrics = ctx.settle().await;
        assert_eq!(metrics.sum("open_incidents"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_provisional_failure_and_its_end_survive_a_restart() {
    run(Setup::default(), async |ctx| {
        let end = failed("s3", 0);
        inside(ctx, &end, "exit 1").await;
        ctx.messages(2).await;
        ctx.settle().await;
        ctx.stop().await;
        ctx.start().await;
        let pass = end
            .clone()
            .ended("success", "Job succeeded.", Some(Clock::System.now()));
        ctx.webhook(&pass).await;
        ctx.messages(2).await;
        ctx.webhook(&end).await;
        assert_eq!(ctx.settle().await.sum("open_incidents"), 0);
    })
    .await;
}

#[tokio::test]
async fn success_and_an_end_on_demand_are_not_reported() {
    run(Setup::default(), async |ctx| {
        let job = failed("s3", 0);
        let output = inside(ctx, &job, "exit 0").await;
        assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
        let output = inside(ctx, &job, "kill -s TERM $PPID; sleep 100").await;
        assert_eq!((output.status.code(), err(&output)), (Some(143), ""));
        assert_eq!(ctx.metrics().await.sum("observations_total"), 0);
    })
    .await;
}

#[tokio::test]
async fn a_daemon_that_is_gone_costs_the_job_a_line() {
    run(Setup::default(), async |ctx| {
        let job = failed("s3", 0);
        let address = format!("http://{}", ctx.address());
        ctx.kill().await;
        let home = tempfile::tempdir().unwrap();
        let report = ["--report", &address, "--token-file", &token(&home)];
        for (more, code) in [(["--", "true"], 0), (["--", "false"], 1)] {
            let mut command = exec(&[&report[..], &more[..]].concat());
            command.env("JOB_SPEC", job_spec(&job));
            let output = ran(command);
            assert_eq!(output.status.code(), Some(code));
            assert_eq!(
                err(&output).lines().count(),
                usize::from(code > 0),
                "{output:?}"
            );
        }
        let nowhere = ran(exec(&["--report", &address, "--", "false"]));
        assert_eq!(nowhere.status.code(), Some(1));
        assert!(err(&nowhere).contains("no token file"), "{nowhere:?}");
        ctx.start().await;
    })
    .await;
}

async fn send(ctx: &Context, body: &Value, signature: &str) -> (u16, String) {
    let request = ctx
        .request("POST", "/hooks/stage")
        .header(DATED_HEADER, signature);
    let reply = Reply::to(request.body(body.to_string())).await;
    (reply.status, reply.text)
}

#[tokio::test]
async fn reports_are_taken_once_in_time_and_signed() {
    run(Setup::default(), async |ctx| {
        let job = failed("s3", 0);
        let mut body: Value = serde_json::from_str(&job_spec(&job)).unwrap();
        body["run"] = body["prowjobid"].take();
        body["build_id"] = body["buildid"].take();
        body["id"] = json!("1");
        body["stage"] = json!("publish");
        let text = body.to_string();
        let now = Clock::System.now();
        let signed = |token: &str, seconds: i64| {
            let at = now + jiff::SignedDuration::from_secs(seconds);
            sign_dated(
                token,
                at,
                "11111111-1111-4111-8111-111111111111",
                text.as_bytes(),
            )
        };
        for refused in [
            signed("another token", 0),
            signed(TOKEN, -320),
            signed(TOKEN, 320),
            format!("{}00", signed(TOKEN, 0)),
            String::new(),
        ] {
            let answer = send(ctx, &body, &refused).await;
            assert_eq!(answer, (401, "unauthorized\n".to_owned()), "{refused}");
        }
        let unsigned = Reply::to(ctx.post("/hooks/stage", text.clone())).await;
        assert_eq!(unsigned.status, 401);
        assert_eq!(ctx.metrics().await.sum("observations_total"), 0);
        let good = signed(TOKEN, -200);
        assert_eq!(send(ctx, &body, &good).await.0, 202);
        ctx.messages(2).await;
        assert_eq!(
            send(ctx, &body, &good).await,
            (200, "reported before\n".to_owned())
        );
        // A restart forgets ids, and the run is known all the same.
        ctx.stop().await;
        ctx.start().await;
        assert_eq!(send(ctx, &body, &good).await.0, 202);
        assert_eq!(ctx.settle().await.decided("deduplicated"), 1);
        let empty = json!({});
        let signature = sign_dated(TOKEN, now, "2", b"{}");
        assert_eq!(
            send(ctx, &empty, &signature).await,
            (400, "id is missing\n".to_owned())
        );
    })
    .await;
}

#[test]
fn help_names_exit_codes_and_variables() {
    let output = ran(exec(&["--help"]));
    for part in [
        "PROW_NOTIFIER_REPORT_URL",
        "PROW_NOTIFIER_TOKEN_FILE",
        "78",
        "128 + N",
        "--and",
    ] {
        assert!(out(&output).contains(part), "{part}");
    }
}
