//! A bar on a terminal, nothing elsewhere.

use std::{
    cell::{Cell, RefCell},
    io::IsTerminal as _,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Steps between two looks at the bar, which is drawn at most twenty times a second anyway.
const EVERY: u32 = 512;

/// How far the command is.
#[derive(Debug)]
pub(super) struct Progress {
    shown: bool,
    bar: RefCell<ProgressBar>,
    calls: Cell<u32>,
}

impl Progress {
    /// Shown where a person looks, unless the terminal is needed for data that comes as it goes.
    pub(super) fn new(streams: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            shown: terminal && !(streams && std::io::stdout().is_terminal()),
            bar: RefCell::new(ProgressBar::hidden()),
            calls: Cell::new(0),
        }
    }

    /// A new piece of work of this length.
    pub(super) fn begin(&self, what: &str, length: u64) {
        self.end();
        let target = if self.shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(length), target).with_message(what.to_owned());
        if let Ok(style) =
            ProgressStyle::with_template("{msg:>9} [{bar:40}] {percent:>3} %, {eta} left")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        self.bar.replace(bar);
    }

    /// So far along.
    pub(super) fn at(&self, position: u64) {
        let calls = self.calls.get().wrapping_add(1);
        self.calls.set(calls);
        if self.shown && calls.is_multiple_of(EVERY) {
            self.bar.borrow().set_position(position);
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.borrow().finish_and_clear();
    }
}
