//! Lets the program live with a clock that is wrong: a small library that is loaded before the system's own adds so
//! many seconds to the time of day. How long things take stays as it is.

use std::{fs, path::Path, process::Command};

/// What the program asks for the time of day.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    const char *skew = getenv("SKEW_SECONDS");
    if (!failed && clock == CLOCK_REALTIME && skew)
        now->tv_sec += atol(skew);
    return failed;
}
"#;

/// Makes the library in this folder, and gives the environment for a program whose clock is ahead by so many seconds.
pub(crate) fn ahead_by(seconds: i64, folder: &Path) -> Vec<(&'static str, String)> {
    let (source, library) = (folder.join("skew.c"), folder.join("skew.so"));
    fs::write(&source, SOURCE).unwrap();
    // The compiler that builds what of our dependencies is C.
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(made.success());
    vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("SKEW_SECONDS", seconds.to_string()),
    ]
}
