//! A real PostgreSQL for tests: one server per test process, a database per test. The server ends with the process,
//! however that ends, because whoever started it waits for a pipe to break.

#![allow(
    clippy::print_stdout,
    reason = "who runs the tests should know what is left out"
)]

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Starts the server, does as it is told line by line, and leaves nothing behind.
const KEEPER: &str = r#"
start() { "$bin/pg_ctl" -D "$home/data" -l "$home/log" -s -w start && echo ready || { cat "$home/log"; echo failed; }; }
"$bin/initdb" -D "$home/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$home/initdb" 2>&1 || cat "$home/initdb"
cat >>"$home/data/postgresql.conf" <<END
port = $port
listen_addresses = '127.0.0.1'
unix_socket_directories = '$home'
fsync = off
max_connections = 300
shared_buffers = 64MB
$more
END
start
while read -r word second; do
  case "$word" in
    stop) "$bin/pg_ctl" -D "$home/data" -s -w -m immediate stop; echo stopped ;;
    start) start ;;
    standby)
      { "$bin/pg_basebackup" -h "$home" -p "$port" -U postgres -D "$home/standby" -R -X stream -c fast &&
        echo "port = $second" >>"$home/standby/postgresql.conf" &&
        "$bin/pg_ctl" -D "$home/standby" -l "$home/standby.log" -s -w start && echo ready; } 2>&1 || echo failed ;;
    promote) "$bin/pg_ctl" -D "$home/standby" -s -w promote && echo ready || echo failed ;;
  esac
done
for data in "$home/data" "$home/standby"; do
  [ ! -d "$data" ] || "$bin/pg_ctl" -D "$data" -s -w -m immediate stop
done
rm -rf "$home"
"#;

/// The server that tests share; `None` where PostgreSQL is not installed.
static SHARED: LazyLock<Option<Postgres>> = LazyLock::new(|| Postgres::start(None));
/// For names of databases.
static MADE: AtomicUsize = AtomicUsize::new(0);

/// A running server.
pub(crate) struct Postgres {
    bin: PathBuf,
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    /// Where its standby does, if there is one.
    pub(crate) standby: Option<u16>,
    keeper: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

/// A server for this test, with a new database; `None`, and a word about it, where there is none.
pub(crate) fn new_database() -> Option<String> {
    shared().map(Postgres::database)
}

/// The server that tests share; `None`, and a word about it, where PostgreSQL is not installed.
pub(crate) fn shared() -> Option<&'static Postgres> {
    or_skip(SHARED.as_ref())
}

/// A server of one's own, to be stopped and started.
pub(crate) fn of_my_own() -> Option<Postgres> {
    or_skip(Postgres::start(None))
}

/// A server of one's own that shows this certificate, in PEM, with its key.
pub(crate) fn with_tls(certificate: &str, key: &str) -> Option<Postgres> {
    or_skip(Postgres::start(Some((certificate, key))))
}

fn or_skip<T>(server: Option<T>) -> Option<T> {
    #[expect(
        clippy::disallowed_methods,
        reason = "CI says that this is no place without"
    )]
    let is_required = std::env::var("PROW_NOTIFIER_POSTGRES").is_ok_and(|word| word == "required");
    assert!(
        server.is_some() || !is_required,
        "PostgreSQL is required and missing: apt-get install postgresql"
    );
    if server.is_none() {
        println!("skipped: PostgreSQL is not installed (apt-get install postgresql)");
    }
    server
}

impl Postgres {
    fn start(tls: Option<(&str, &str)>) -> Option<Self> {
        let bin = installed()?;
        let is_root = rustix::process::geteuid().is_root();
        let home = tempfile::Builder::new()
            .prefix("pg-")
            .tempdir()
            .unwrap()
            .keep();
        let port = free_port();
        let mut more = String::new();
        if let Some((certificate, key)) = tls {
            let (shown, kept) = (home.join("server.crt"), home.join("server.key"));
            fs::write(&shown, certificate).unwrap();
            fs::write(&kept, key).unwrap();
            fs::set_permissions(&kept, Permissions::from_mode(0o600)).unwrap();
            more = format!(
                "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'",
                shown.display(),
                kept.display()
            );
        }
        // The server refuses to be root.
        let mut command = if is_root {
            let owner = Command::new("id")
                .args(["-u", "postgres"])
                .output()
                .unwrap();
            let owner = String::from_utf8(owner.stdout).unwrap();
            let owner = Some(owner.trim().parse().unwrap());
            chown(&home, owner, None).unwrap();
            for file in fs::read_dir(&home).unwrap() {
                chown(file.unwrap().path(), owner, None).unwrap();
            }
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh", "-c", KEEPER]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", KEEPER]);
            command
        };
        #[expect(
            clippy::zombie_processes,
            reason = "it ends when this process does, and its pipe closes"
        )]
        let mut keeper = command
            .env("bin", &bin)
            .env("home", &home)
            .env("port", port.to_string())
            .env("more", more)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let words = BufReader::new(keeper.stdout.take().unwrap());
        let server = Self {
            bin,
            port,
            standby: None,
            keeper: Mutex::new((keeper.stdin.take().unwrap(), words)),
        };
        server.expect("ready");
        Some(server)
    }

    /// Makes a database and gives its address.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The address of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs SQL by the server's own tool; gives the answer, a row a line.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let done = self.try_sql(database, sql);
        done.unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// The same; the error is what the server says.
    pub(crate) fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port.to_string();
        let done = Command::new(self.bin.join("psql"))
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "postgres",
                "-d",
                database,
            ])
            .args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        Ok(String::from_utf8(done.stdout).unwrap().trim().to_owned())
    }

    /// Stops the server at once, as a crash would.
    pub(crate) fn stop(&self) {
        self.tell("stop");
        self.expect("stopped");
    }

    /// Starts it again.
    pub(crate) fn start_again(&self) {
        self.tell("start");
        self.expect("ready");
    }

    /// Starts a standby that has whatever this one says it has.
    pub(crate) fn have_standby(&mut self) {
        let port = free_port();
        self.tell(&format!("standby {port}"));
        self.expect("ready");
        self.sql(
            "postgres",
            "ALTER SYSTEM SET synchronous_standby_names = '*'",
        );
        self.sql("postgres", "SELECT pg_reload_conf()");
        self.standby = Some(port);
    }

    /// Has its standby take its place, whatever became of it.
    pub(crate) fn fail_over(&mut self) {
        self.tell("promote");
        self.expect("ready");
        self.port = self.standby.take().unwrap();
    }

    fn tell(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        writeln!(keeper.0, "{word}").unwrap();
    }

    fn expect(&self, word: &str) {
        let mut keeper = self.keeper.lock().unwrap();
        let mut seen = String::new();
        while keeper.1.read_line(&mut seen).unwrap() > 0 {
            if seen.lines().last() == Some(word) {
                return;
            }
            assert!(
                !seen.ends_with("failed\n"),
                "PostgreSQL does not start: {seen}"
            );
        }
        panic!("PostgreSQL does not start: {seen}");
    }
}

/// A port that nobody listens at just now.
fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// The newest version that Debian has installed, or what the path leads to.
fn installed() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = versions
        .flatten()
        .filter_map(|version| {
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .max()
        .map(|(_, bin)| bin);
    let found = debian.or_else(|| {
        let asked = Command::new("pg_config").arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(asked.stdout).ok()?.trim()))
    })?;
    found.join("postgres").exists().then_some(found)
}
