//! `exec`: runs a command inside a job as if it were not there, and reports a failure the moment it happens.

mod needs;
mod output;
mod process;
mod report;

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use anyhow::Result;
use jiff::Timestamp;

use self::{
    output::Output,
    process::{End, Supervisor},
    report::{Reporter, new_id},
};
use super::{Outcome, UsageError, out, values};
use crate::{
    clock::Clock,
    http::Http,
    prow::stage::{JobSpec, Report},
};

/// Exit code when a prerequisite is missing: `EX_CONFIG` of sysexits.h.
const MISSING: u8 = 78;
/// How long what was printed at the end may take to arrive before the failure is reported.
const DRAIN: Duration = Duration::from_millis(200);
/// Between two commands of `--all`.
const AND: &str = "--and";

/// What to run, and whom to tell.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct Args {
    /// Stage of the release that the command is, by the name that the daemon's rules give it
    #[arg(long, value_name = "STAGE")]
    stage: String,
    /// Service that is released, when the rules cannot tell it from the job
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    #[arg(long, value_name = "URL", help = REPORT_HELP)]
    report: Option<String>,
    #[arg(long, value_name = "FILE", help = TOKEN_HELP)]
    token_file: Option<String>,
    /// What must be there first: a file, an image (docker://REPOSITORY:TAG) or a URL; may be repeated. If it is not,
    /// the exit code is 78
    #[arg(long, value_name = "FILE|IMAGE|URL")]
    needs: Vec<String>,
    /// How long each prerequisite may take to answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    needs_timeout: Duration,
    /// Shell command to run after a failure, to clean up; its own failure is only told
    #[arg(long, value_name = "COMMAND")]
    on_fail: Option<String>,
    /// Run several commands at once, with --and between them, wait for all, and fail if any fails
    #[arg(long)]
    all: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

const REPORT_HELP: &str = "Address of the daemon, such as http://prow-notifier; without one nothing is reported \
    [env: PROW_NOTIFIER_REPORT_URL]";
const TOKEN_HELP: &str =
    "File with the token that reports are signed with [env: PROW_NOTIFIER_TOKEN_FILE]";
const AFTER_HELP: &str = "\
The exit code is the command's: 128 + N when it died of signal N, 127 when it was not found, 126 when it cannot be \
executed, 78 when a prerequisite is missing. With --all it is that of the first command, in the order given, that failed.

Output is passed on unchanged, and its end goes into the report; what goes to a terminal goes there directly and is not \
in it. With --all lines are passed on whole, behind [N], the number of their command, and standard input is empty.

Signals go to the command's process group. What it leaves running when it ends is stopped: SIGTERM, 3 seconds later \
SIGKILL. When exec itself was asked to stop, nothing is reported: that is no failure of the command. Whether a report \
arrives or not changes nothing but a line on standard error.";

/// What the command came to.
struct Ended {
    code: u8,
    signal: Option<String>,
    /// In words, without arguments that may be secret.
    what: String,
    log_tail: String,
}

/// Runs the command.
pub fn run(args: &Args, environment: &BTreeMap<String, String>) -> Result<Outcome> {
    let commands = commands(args)?;
    let (address, file) = (args.report.as_deref(), args.token_file.as_deref());
    let reporter = Reporter::new(address, file, environment).unwrap_or_else(|why| {
        tell(&format!("failures will not be reported: {why}"));
        None
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let code = runtime.block_on(async {
        let job = Job {
            args,
            reporter,
            spec: JobSpec::from_environment(environment),
            began: Clock::System.now(),
        };
        let missing = missing(args).await?;
        if missing.is_empty() {
            job.run(&commands).await
        } else {
            job.not_begun(&missing).await
        }
    })?;
    // A look-up that is still under way must not hold up the job.
    runtime.shutdown_background();
    Ok(Outcome::Code(code))
}

/// The commands: one, or with `--all` those between `--and`.
fn commands(args: &Args) -> Result<Vec<Vec<String>>, UsageError> {
    if !args.all {
        // Else the second command would be words of the first, and never run.
        if args.command.iter().any(|word| word == AND) {
            return Err(UsageError(format!(
                "{AND} stands between commands only with --all; add --all, or hide a {AND} of the command's own in sh -c '...'"
            )));
        }
        return Ok(vec![args.command.clone()]);
    }
    let commands: Vec<Vec<String>> = args
        .command
        .split(|word| word == AND)
        .map(<[String]>::to_vec)
        .collect();
    if commands.iter().any(Vec::is_empty) {
        return Err(UsageError(format!("a command is missing beside {AND}")));
    }
    Ok(commands)
}

async fn missing(args: &Args) -> Result<Vec<String>> {
    if args.needs.is_empty() {
        return Ok(Vec::new());
    }
    Ok(needs::missing(&args.needs, &Http::new()?, args.needs_timeout).await)
}

/// What is known while a command runs.
struct Job<'a> {
    args: &'a Args,
    reporter: Option<Reporter>,
    spec: JobSpec,
    began: Timestamp,
}

impl Job<'_> {
    async fn not_begun(&self, missing: &[String]) -> Result<u8> {
        let what = format!("not begun, needs {}", missing.join("; needs "));
        tell(&what);
        let ended = Ended {
            code: MISSING,
            signal: None,
            log_tail: format!("{what}\n"),
            what,
        };
        self.report(&ended).await;
        Ok(MISSING)
    }

    /// Runs the commands to their end, reports it at once if it is a bad one, and leaves nothing behind.
    async fn run(&self, commands: &[Vec<String>]) -> Result<u8> {
        let mut output = Output::new()?;
        let mut supervisor = Supervisor::start()?;
        begin(&mut supervisor, &mut output, commands)?;
        let ends = supervisor.all_ended().await;
        // What they left behind may hold the pipes open.
        drop(tokio::time::timeout(DRAIN, output.drained()).await);
        let ended = sum_up(commands, &ends, &output);
        let is_failure = ended.code != 0 && !supervisor.was_stopped;
        let (left, ()) = tokio::join!(supervisor.clear(), async {
            if is_failure {
                self.report(&ended).await;
            }
        });
        output.is_over();
        tokio::select! {
            () = output.drained() => {}
            () = supervisor.asked_to_end() => {}
        }
        if left > 0 {
            tell(&format!("stopped what was left behind: {left} processes"));
        }
        if let Some(script) = self.args.on_fail.as_ref().filter(|_| ended.code != 0) {
            clean_up(&mut supervisor, script).await;
        }
        Ok(ended.code)
    }

    async fn report(&self, ended: &Ended) {
        let Some(reporter) = &self.reporter else {
            return;
        };
        let finished = Clock::System.now();
        let report = Report {
            id: new_id(),
            stage: self.args.stage.clone(),
            service: self.args.service.clone(),
            job: self.spec.clone(),
            command: self.args.command.join(" "),
            what: ended.what.clone(),
            exit_code: ended.code,
            signal: ended.signal.clone(),
            started_at: Some(self.began),
            finished_at: Some(finished),
            duration_s: finished.duration_since(self.began).as_secs_f64(),
            log_tail: ended.log_tail.clone(),
        };
        if let Err(why) = reporter.send(&report).await {
            let host = reporter.host();
            tell(&format!(
                "the failure could not be reported to {host}: {why}"
            ));
        }
    }
}

fn begin(supervisor: &mut Supervisor, output: &mut Output, commands: &[Vec<String>]) -> Result<()> {
    for (index, words) in commands.iter().enumerate() {
        let number = index + 1;
        let (stdin, [stdout, stderr]) = if commands.len() == 1 {
            (Stdio::inherit(), output.for_one()?)
        } else {
            (Stdio::null(), output.for_one_of_many(number)?)
        };
        supervisor.begin(number, words, [stdin, stdout, stderr]);
    }
    Ok(())
}

/// Names the commands that failed, where that is not plain from their own output.
fn sum_up(commands: &[Vec<String>], ends: &BTreeMap<usize, End>, output: &Output) -> Ended {
    let bad = |number: &usize| ends.get(number).filter(|end| end.code() != 0);
    let failed: Vec<(usize, &End, &[String])> = commands
        .iter()
        .enumerate()
        .filter_map(|(index, words)| {
            let number = index + 1;
            Some((number, bad(&number)?, words.as_slice()))
        })
        .collect();
    let described: Vec<String> = failed
        .iter()
        .map(|(number, end, words)| match commands.len() {
            1 => describe(end, words),
            _ => format!("[{number}] {}", describe(end, words)),
        })
        .collect();
    let what = match (commands.len(), failed.len()) {
        (1, _) => described.concat(),
        (all, some) => format!("{some} of {all} commands failed: {}", described.join("; ")),
    };
    let first = failed.first().map(|(_, end, _)| *end);
    let is_silent = commands.len() == 1 && !matches!(first, Some(End::NotRun(..)));
    if first.is_some() && !is_silent {
        tell(&what);
    }
    Ended {
        code: first.map_or(0, End::code),
        signal: first.and_then(End::signal),
        what,
        log_tail: output.tail.text(),
    }
}

fn describe(end: &End, words: &[String]) -> String {
    let name = title(words);
    match end {
        End::Exit(code) => format!("{name} ended with exit code {code}"),
        End::Signal(_) => format!("{name} was killed by {}", end.signal().unwrap_or_default()),
        End::NotRun(_, why) => format!("cannot run {name}: {why}"),
    }
}

/// A command by its program and what looks like its subcommand. More of it might show a secret.
fn title(words: &[String]) -> String {
    let is_plain = |word: &&String| {
        word.len() <= 24
            && word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    let mut words = words.iter();
    let program = words.next().map_or("", String::as_str);
    let program = program.rsplit('/').next().unwrap_or(program);
    match words.next().filter(is_plain) {
        Some(word) => format!("{program} {word}"),
        None => program.to_owned(),
    }
}

async fn clean_up(supervisor: &mut Supervisor, script: &str) {
    supervisor.forget_signals().await;
    let words = ["sh", "-c", script].map(str::to_owned);
    let stdio = [Stdio::null(), Stdio::inherit(), Stdio::inherit()];
    supervisor.begin(0, &words, stdio);
    let ends = supervisor.all_ended().await;
    if let Some(end) = ends.get(&0).filter(|end| end.code() != 0) {
        tell(&format!("cleaning up failed: {}", describe(end, &words)));
    }
    supervisor.clear().await;
}

/// A line of our own, among the command's output.
fn tell(text: &str) {
    out::say(&format!("prow-notifier: {}", out::printable(text)));
}
