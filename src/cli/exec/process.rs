//! Runs commands as a shell's user expects: signals reach them, their exit codes come back, and nothing that they
//! began outlives them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, ErrorKind, IsTerminal as _, Read as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    process::{Command, Stdio},
    task::Poll,
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::{
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, WaitStatus, getpgrp, getpid, kill_process, kill_process_group,
        set_child_subreaper, wait,
    },
    termios::tcgetpgrp,
};
use tokio::signal::unix::{self, SignalKind};

/// What processes that a command left behind have to end in after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// Between two looks at what is left.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Processes that cannot even be killed (stuck in the kernel) are given up after this.
const GIVE_UP: Duration = Duration::from_secs(2);

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Exit(u8),
    /// By a signal.
    Signal(i32),
    /// It never began, for this reason; the exit code is the one that a shell gives.
    NotRun(u8, String),
}

impl End {
    /// As a shell tells it.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Exit(code) | Self::NotRun(code, _) => *code,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
        }
    }

    /// Name of the signal, such as `SIGKILL`.
    pub(super) fn signal(&self) -> Option<String> {
        match self {
            Self::Signal(signal) => Some(name_of(*signal)),
            Self::Exit(_) | Self::NotRun(..) => None,
        }
    }

    fn of(status: WaitStatus) -> Option<Self> {
        if let Some(code) = status.exit_status() {
            return Some(Self::Exit(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        status.terminating_signal().map(Self::Signal)
    }
}

/// The numbers are those of Linux.
fn name_of(signal: i32) -> String {
    let name = match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        10 => "USR1",
        11 => "SEGV",
        12 => "USR2",
        13 => "PIPE",
        14 => "ALRM",
        15 => "TERM",
        other => return format!("signal {other}"),
    };
    format!("SIG{name}")
}

/// Signals that go on to the commands.
const FORWARDED: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::WINCH,
    Signal::CONT,
];
/// Of these, those that ask for an end.
const ENDING: [Signal; 4] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];
/// Those that a terminal sends to its whole foreground group, the command included.
const OF_THE_TERMINAL: [Signal; 4] = [Signal::INT, Signal::QUIT, Signal::WINCH, Signal::CONT];

/// Runs commands one after the other, or several at once.
#[derive(Debug)]
pub(super) struct Supervisor {
    signals: Vec<(Signal, unix::Signal)>,
    /// On a terminal the commands stay in its foreground group, with us: Ctrl-C and Ctrl-Z reach them directly, and
    /// they may read. Otherwise each has a group of its own.
    on_terminal: bool,
    /// Whether we were asked to end, so that a command's end says nothing of the command.
    pub(super) was_stopped: bool,
    running: BTreeMap<i32, usize>,
    ended: BTreeMap<usize, End>,
}

impl Supervisor {
    /// From now on signals are forwarded and orphans are ours.
    pub(super) fn start() -> Result<Self> {
        let on_terminal = is_in_foreground();
        // Without it, on a very old kernel, orphans go to init as they always did.
        set_child_subreaper(Some(getpid())).ok();
        let stops = (!on_terminal).then_some(Signal::TSTP);
        let signals = FORWARDED.into_iter().chain([Signal::CHILD]).chain(stops);
        let signals = signals
            .map(|signal| {
                let kind = SignalKind::from_raw(signal.as_raw());
                Ok((
                    signal,
                    unix::signal(kind).context("cannot listen for signals")?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            signals,
            on_terminal,
            was_stopped: false,
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
        })
    }

    /// Starts a command, of whom `number` will tell.
    pub(super) fn begin(&mut self, number: usize, words: &[String], stdio: [Stdio; 3]) {
        match self.spawn(words, stdio) {
            Ok(pid) => {
                self.running.insert(pid, number);
            }
            Err(error) => {
                self.ended.insert(number, not_run(&error));
            }
        }
    }

    fn spawn(&self, words: &[String], stdio: [Stdio; 3]) -> io::Result<i32> {
        let (program, arguments) = words.split_first().ok_or(ErrorKind::NotFound)?;
        let mut command = Command::new(program);
        if is_bare_script(program) {
            command = Command::new("sh");
            command.arg(program);
        }
        let [stdin, stdout, stderr] = stdio;
        command.args(arguments);
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        if !self.on_terminal {
            command.process_group(0);
        }
        let child = command.spawn()?;
        Ok(i32::try_from(child.id()).unwrap_or(i32::MAX))
    }

    /// Waits until all that were begun have ended. Returns how, by their numbers.
    pub(super) async fn all_ended(&mut self) -> BTreeMap<usize, End> {
        self.reap();
        while !self.running.is_empty() {
            let signal = self.next_signal().await;
            self.handle(signal);
        }
        std::mem::take(&mut self.ended)
    }

    async fn next_signal(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            let mut signals = self.signals.iter_mut();
            let came = signals.find_map(|(signal, stream)| {
                stream.poll_recv(context).is_ready().then_some(*signal)
            });
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn handle(&mut self, signal: Signal) {
        if signal == Signal::CHILD {
            self.reap();
            return;
        }
        self.was_stopped |= ENDING.contains(&signal);
        if self.on_terminal && OF_THE_TERMINAL.contains(&signal) {
            return;
        }
        self.forward(signal);
        if signal == Signal::TSTP {
            // We stop with them; whoever lets us go on lets them go on too.
            kill_process(getpid(), Signal::STOP).ok();
            self.forward(Signal::CONT);
        }
    }

    /// Fails where the process has just ended, which is as good.
    fn forward(&self, signal: Signal) {
        for pid in self.running.keys().filter_map(|pid| Pid::from_raw(*pid)) {
            if self.on_terminal {
                kill_process(pid, signal).ok();
            } else {
                kill_process_group(pid, signal).ok();
            }
        }
    }

    /// Takes note of every child that has ended, our commands' orphans included. Returns whether any is left.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let Some(end) = End::of(status) else { continue };
                    if let Some(number) = self.running.remove(&pid.as_raw_nonzero().get()) {
                        self.ended.insert(number, end);
                    }
                }
                Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Ends what the commands left behind: first kindly, then for certain. Returns how many processes there were.
    pub(super) async fn clear(&mut self) -> usize {
        let mut found = BTreeSet::new();
        let mut waited = Duration::ZERO;
        while self.reap() && waited < GRACE + GIVE_UP {
            for pid in descendants() {
                let is_new = found.insert(pid);
                let Some(pid) = Pid::from_raw(pid) else {
                    continue;
                };
                if waited >= GRACE {
                    kill_process(pid, Signal::KILL).ok();
                } else if is_new {
                    kill_process(pid, Signal::TERM).ok();
                    // One that is stopped cannot end.
                    kill_process(pid, Signal::CONT).ok();
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
        found.len()
    }

    /// Waits until we are asked to end, while nothing runs that could be told so.
    pub(super) async fn asked_to_end(&mut self) {
        while !ENDING.contains(&self.next_signal().await) {}
    }

    /// Forgets signals that came while nothing ran.
    pub(super) async fn forget_signals(&mut self) {
        let pause = tokio::time::timeout(Duration::ZERO, async {
            loop {
                self.next_signal().await;
            }
        });
        drop::<std::result::Result<(), _>>(pause.await);
    }
}

/// Whether a program is an executable text that does not say what is to run it. The system refuses such a file, shells
/// take it for a script of theirs.
fn is_bare_script(program: &str) -> bool {
    let mut begin = [0; 128];
    let mut read = |file: &mut File| {
        let is_executable = file.metadata()?.permissions().mode() & 0o111 != 0;
        let length = file.read(&mut begin)?;
        io::Result::Ok(if is_executable { length } else { 0 })
    };
    let length = File::open(program).and_then(|mut file| read(&mut file));
    let begin = begin.get(..length.unwrap_or_default()).unwrap_or_default();
    program.contains('/') && !begin.is_empty() && !begin.starts_with(b"#!") && !begin.contains(&0)
}

fn not_run(error: &io::Error) -> End {
    let code = if error.kind() == ErrorKind::NotFound {
        127
    } else {
        126
    };
    End::NotRun(code, error.to_string())
}

/// Whether one of our streams is a terminal, and we are in its foreground.
fn is_in_foreground() -> bool {
    let group = getpgrp();
    let foreground = if io::stdin().is_terminal() {
        tcgetpgrp(io::stdin())
    } else if io::stdout().is_terminal() {
        tcgetpgrp(io::stdout())
    } else if io::stderr().is_terminal() {
        tcgetpgrp(io::stderr())
    } else {
        return false;
    };
    foreground.is_ok_and(|foreground| foreground == group)
}

/// All living processes below this one, by what `/proc` says of their parents.
fn descendants() -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in entries {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(parent) = parent_of(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = children
        .remove(&getpid().as_raw_nonzero().get())
        .unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found
}

/// `None` when it has ended, be it as a zombie. Its name, in parentheses, may hold anything
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>).
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(") ")?;
    let mut fields = after.split(' ');
    let is_dead = matches!(fields.next()?, "Z" | "X");
    fields.next()?.parse().ok().filter(|_| !is_dead)
}
