//! Every built-in rule with a line that it decides, and one like it that it leaves alone.

use std::collections::BTreeSet;

use super::*;

/// Rule, a line it decides, a line that looks alike.
const FIXTURES: &[(&str, &str, &str)] = &[
    (
        "prow-timeout",
        r#"{"component":"entrypoint","msg":"Process did not finish before 2h0m0s timeout","severity":"error"}"#,
        "the process did finish before the timeout",
    ),
    (
        "disk-full",
        "write /var/lib/containers/x: no space left on device",
        "there is a space left on the device list",
    ),
    ("out-of-memory", "go: signal: killed", "signal: interrupt"),
    (
        "test-timeout",
        "panic: test timed out after 10m0s",
        "no test timed out after all",
    ),
    (
        "rate-limit",
        "toomanyrequests: Rate exceeded",
        "rate limit: 4999 of 5000 remaining",
    ),
    (
        "auth",
        "denied: Your authorization token has expired. Reauthenticate and try again.",
        "the request was denied a second time slot",
    ),
    (
        "git-auth",
        "fatal: Authentication failed for 'https://github.com/x/y.git/'",
        "Authentication failed for once, then it went through",
    ),
    (
        "helm-timeout",
        "Error: UPGRADE FAILED: timed out waiting for the condition",
        "Error: UPGRADE FAILED: another operation is in progress",
    ),
    (
        "piped",
        "jq: error (at <stdin>:0): Cannot iterate over null (null)",
        "jq: a tool for JSON",
    ),
    (
        "npm-message",
        "npm error notarget No matching version found for x@9",
        "npm error path /src",
    ),
    (
        "npm-auth",
        "npm error code ENEEDAUTH",
        "npm error code ENOENT",
    ),
    (
        "forbidden",
        "Error from server (Forbidden): configmaps \"x\" is forbidden",
        "Error from server (NotFound): pods \"forbidden\" not found",
    ),
    (
        "registry",
        "name unknown: The repository with name 'x' does not exist in the registry with id '1'",
        "registry name: known",
    ),
    (
        "aws-registry",
        "An error occurred (RepositoryNotFoundException) when calling the PutImage operation: no",
        "An error occurred (NotFoundException) when calling the PutImage operation: no",
    ),
    (
        "go-modules",
        "go: github.com/x/y@v0.51.0: invalid version: unknown revision v0.51.0",
        "go: downloading github.com/x/y v0.51.0",
    ),
    (
        "cargo-dependency",
        "error: failed to select a version for the requirement `jiff = \"^0.9\"`",
        "error: failed to select a theme",
    ),
    (
        "npm-dependency",
        "npm error code ERESOLVE",
        "npm error code ELIFECYCLE",
    ),
    (
        "pip-dependency",
        "ERROR: No matching distribution found for acktest==0.9.9",
        "a matching distribution was found",
    ),
    (
        "packages",
        "E: Unable to locate package libfoo",
        "E: see the log",
    ),
    (
        "helm-dependency",
        "Error: can't get a valid version for 1 subchart(s): a chart is missing",
        "fetched a valid version of the chart",
    ),
    (
        "go-compile",
        "pkg/resource/table/sdk.go:293:13: undefined: svcapitypes.TableSpec_SDK",
        "at main.go:88 starting manager",
    ),
    (
        "go-link",
        "\timports example.com/a/pkg/rule: import cycle not allowed",
        "\timports example.com/a/pkg/rule",
    ),
    (
        "rustc",
        "error[E0432]: unresolved import `kube::runtime`",
        "warning: unresolved link to `kube`",
    ),
    ("rustc-place", "  --> src/main.rs:24:5", "  --> src/main.rs"),
    (
        "c-compile",
        "src/a.c:12:5: error: 'x' undeclared",
        "src/a.c:12:5: warning: unused variable 'x'",
    ),
    (
        "typescript",
        "src/a.tsx(41,17): error TS2345: Argument of type 'x'",
        "src/a.tsx(41,17): TS2345 is suppressed",
    ),
    (
        "python-syntax",
        "SyntaxError: invalid syntax",
        "SyntaxErrors are shown in red",
    ),
    (
        "protoc",
        "api/v1/x.proto:12:3: \"Y\" is not defined.",
        "api/v1/x.proto: compiled",
    ),
    (
        "static-check",
        "ERROR: generated files are out of date, run make generate",
        "generated 14 files",
    ),
    (
        "go-panic",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "test parse::panics ... ok",
    ),
    ("data-race", "WARNING: DATA RACE", "WARNING: DATA IS OLD"),
    (
        "pytest-failure",
        "E       AssertionError: assert 1 == 2",
        "E       is a letter",
    ),
    (
        "test-failure",
        "--- FAIL: TestReconcilerUpdate (0.32s)",
        "--- PASS: TestReconcilerFAIL (0.32s)",
    ),
    (
        "test-panic",
        "thread 'retry::tests::capped' panicked at src/retry.rs:180:9:",
        "thread 'main' ended",
    ),
    (
        "assertion",
        "    sdk_test.go:42: got 1, want 2",
        "ok  example.com/sdk_test 0.1s",
    ),
    (
        "helm-test",
        "Error: pod lambda-test failed",
        "pod lambda-test finished",
    ),
    (
        "git-network",
        "fatal: unable to access 'https://github.com/x/': Could not resolve host: github.com",
        "able to access 'https://github.com/x/'",
    ),
    (
        "git-config",
        "fatal: tag 'v1.2.3' already exists",
        "tag 'v1.2.3' created",
    ),
    (
        "git",
        " ! [rejected]        main -> main (fetch first)",
        " * [new branch]      main -> main",
    ),
    (
        "forge",
        "pull request create failed: GraphQL: No commits between main and release (createPullRequest)",
        "pull request created",
    ),
    (
        "aws-credentials",
        "An error occurred (ExpiredTokenException) when calling the GetAuthorizationToken operation: no",
        "An error occurred (ValidationError) when calling the X operation: no",
    ),
    (
        "aws",
        "An error occurred (ValidationException) when calling the PutItem operation: no",
        "An error occurred while calling the operation",
    ),
    (
        "kubectl",
        "error: resource mapping not found for name: \"x\" namespace: \"y\"",
        "error: map not found",
    ),
    (
        "wait-timeout",
        "error: timed out waiting for the condition on deployments/x",
        "waiting for the condition",
    ),
    (
        "helm",
        "Error: UPGRADE FAILED: \"x\" has no deployed releases",
        "Error: no upgrade has happened",
    ),
    (
        "remote-5xx",
        "received unexpected HTTP status: 502 Bad Gateway",
        "received 502 files",
    ),
    (
        "network",
        "dial tcp 10.0.0.1:443: i/o timeout",
        "dial a number",
    ),
    ("curl", "curl: (28) no answer", "curl: (3) no answer"),
    (
        "curl-answer",
        "curl: (22) The requested URL said no",
        "curl (22) is installed",
    ),
    (
        "docker-daemon",
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.",
        "connected to the Docker daemon",
    ),
    (
        "cluster",
        "ERROR: failed to create cluster: nothing works",
        "created cluster",
    ),
    (
        "permission",
        "bash: ./scripts/release.sh: Permission denied",
        "Permission denied (publickey).",
    ),
    (
        "missing-tool",
        "./scripts/find.sh: line 68: jq: command not found",
        "the command found nothing",
    ),
    (
        "usage",
        "./release.sh: line 105: GITHUB_TOKEN: unbound variable",
        "a variable unbound by nothing is here",
    ),
    (
        "bad-file",
        "Error: yaml: line 41: did not find expected key",
        "wrote yaml, 41 lines",
    ),
    (
        "missing-file",
        "cat: dist/x: No such file or directory",
        "there is such a file in the directory",
    ),
    (
        "dockerfile",
        "COPY failed: no source files were specified",
        "COPY done",
    ),
    (
        "image-build",
        "ERROR: failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 1",
        "ERROR: failed to resolve",
    ),
    (
        "image-step",
        "Error: building at STEP \"RUN make\": exit status 2",
        "STEP 3/7: RUN make",
    ),
    (
        "python-error",
        "botocore.exceptions.ParamError: bad",
        "an Error: bad",
    ),
    (
        "timeout",
        "the request timed out",
        "docs/errors/timed-out.md was added",
    ),
    (
        "build-failed",
        "FAIL\texample.com/x/cmd [build failed]",
        "ok  \texample.com/x/cmd 0.1s",
    ),
    (
        "tests-failed",
        "test result: FAILED. 1 passed; 1 failed",
        "test result: ok. 2 passed; 0 failed",
    ),
    ("package-manager", "npm error A thing", "npm notice a thing"),
    (
        "about-time",
        "ERROR: still waiting for the chart",
        "waiting for the chart",
    ),
    (
        "about-access",
        "Error: the private key is odd",
        "the private key is odd",
    ),
    (
        "about-network",
        "level=error msg=\"mirror unavailable\"",
        "level=info msg=\"mirror unavailable\"",
    ),
    (
        "about-image",
        "ERROR: the layer of it is invalid",
        "the layer of it is invalid",
    ),
    (
        "about-git",
        "[ERROR] the rebase went wrong",
        "the rebase went well",
    ),
    (
        "about-setting",
        "Error: unknown stage",
        "the stage is unknown",
    ),
    ("error-prefix", "error: something", "the error: something"),
    ("error-level", "[ERROR] something", "[error-free] something"),
    ("failed-to", "unable to do it", "enabled to do it"),
    (
        "make-tail",
        "make: *** [Makefile:54: image] Error 1",
        "make: Leaving directory '/x'",
    ),
    (
        "interrupted",
        r#"{"component":"entrypoint","msg":"Entrypoint received interrupt: terminated"}"#,
        "the entrypoint is /bin/interrupt",
    ),
    ("exit-tail", "exit status 1", "the exit status is fine"),
    (
        "prow-wrapper",
        r#"{"component":"sidecar","msg":"uploaded"}"#,
        r#"{"component":"manager","msg":"uploaded"}"#,
    ),
];

fn name_of(rules: &LogRules, line: &str) -> Option<String> {
    let rule = rules.rule(rules.meaning(line.as_bytes()).rule?)?;
    Some(rule.name.to_string())
}

#[test]
fn every_rule_decides_its_line_and_leaves_the_other() {
    let rules = LogRules::builtin();
    let mut wrong = Vec::new();
    for &(name, line, alike) in FIXTURES {
        let found = name_of(&rules, line);
        if found.as_deref() != Some(name) {
            wrong.push(format!("{name}: {line} is {found:?}"));
        }
        let rule = builtin().find(|rule| rule.name == name).unwrap();
        let regex = compile(&LogRule::from(rule).pattern).unwrap();
        if regex.is_match(alike.as_bytes()) {
            wrong.push(format!("{name} finds {alike}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_rule_has_a_fixture_and_a_name_of_its_own() {
    let named: BTreeSet<&str> = builtin().map(|rule| rule.name).collect();
    let tested: BTreeSet<&str> = FIXTURES.iter().map(|fixture| fixture.0).collect();
    assert_eq!(named.len(), builtin().count());
    assert_eq!(named, tested);
    for &Builtin { name, weight, .. } in builtin() {
        assert!((1..MAX_WEIGHT).contains(&weight), "{name}");
    }
    for name in builtin::LOUD.iter().chain(builtin::FINAL) {
        assert!(named.contains(name));
    }
}

#[test]
fn what_a_rule_matches_is_found_in_a_block_too() {
    let rules = LogRules::builtin();
    for &(name, line, _) in FIXTURES {
        let block = format!("first\n{line}\nlast\n");
        let found = rules.next(block.as_bytes(), 0).unwrap();
        let start = block.find(line).unwrap();
        assert!((start..=start + line.len()).contains(&found), "{name}");
    }
    assert_eq!(rules.next(b"first\nall is well\nlast\n", 0), None);
}

#[test]
fn commands_warnings_and_good_ends_are_noise() {
    let rules = LogRules::builtin();
    for line in [
        "+ echo 'ERROR: failed'",
        "level=warning msg=\"connection refused\"",
        "npm warn deprecated error-prone@1.0.0",
        "1 chart(s) linted, 0 chart(s) failed",
        "collected 18 files (0 errors)",
        "ok  \texample.com/errors\t0.01s",
        "W1121 06:41:00.123456   1 a.go:1] i/o timeout",
        "rm: ignored error: no such file or directory",
    ] {
        assert!(rules.is_noise(line.as_bytes()), "{line}");
    }
    for line in [
        "ERROR: failed",
        "dial tcp: i/o timeout",
        "process \"x\" did not complete successfully: exit code: 1",
    ] {
        assert!(!rules.is_noise(line.as_bytes()), "{line}");
    }
}

#[test]
fn a_last_try_is_no_retry() {
    let rules = LogRules::builtin();
    let retry = |line: &str| rules.meaning(line.as_bytes()).retry;
    for line in [
        "retrying in 5s",
        "attempt 1/3 failed",
        "will retry",
        "Attempt 2 of 5: no",
        "sleeping 30s",
    ] {
        assert!(retry(line), "{line}");
    }
    for line in [
        "attempt 3/3 failed",
        "retrying is exhausted",
        "max retries exceeded",
        "giving up, not retrying",
    ] {
        assert!(!retry(line), "{line}");
    }
}

#[test]
fn a_pattern_that_cannot_work_is_refused() {
    assert!(matches!(compile("x("), Err(PatternError::Syntax(_))));
    assert!(matches!(
        compile("(?:a{900}){900}"),
        Err(PatternError::Syntax(_))
    ));
    for everything in ["", ".*", "x?", "^", r"[\s\S]"] {
        assert_eq!(compile(everything).unwrap_err(), PatternError::Everything);
    }
    assert!(compile("(?i)quota for ü is gone").is_ok());
}
