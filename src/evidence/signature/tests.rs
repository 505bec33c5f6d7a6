//! What must be one cause, and what must not.

use proptest::prelude::*;

use super::*;

#[test]
fn what_changes_from_run_to_run_is_masked() {
    let pairs = [
        ("a.go:12:3: undefined: X", "a.go:140:22: undefined: X"),
        ("--- FAIL: TestX (0.02s)", "--- FAIL: TestX (12.71s)"),
        (
            "pushing lambda-controller:v1.4.4 failed",
            "pushing s3-controller:v1.0.0 failed",
        ),
        (
            "open /tmp/a1/b2/c.yaml: no such file",
            "open /home/x/y/c.yaml: no such file",
        ),
        (
            "Get \"https://x.example/a?b=1\": EOF",
            "Get \"https://x.example/c/d\": EOF",
        ),
        (
            "dial tcp 10.0.0.1:443: i/o timeout",
            "dial tcp 10.9.8.7:443: i/o timeout",
        ),
        (
            "panic at 0xc000123 in goroutine 7",
            "panic at 0xc000fff in goroutine 1234",
        ),
        (
            "blob sha256:0123456789abcdef done",
            "blob sha256:fedcba9876543210 done",
        ),
        (
            "request 550e8400-e29b-41d4-a716-446655440000 failed",
            "request 123e4567-e89b-12d3-a456-426614174000 failed",
        ),
        (
            "User: arn:aws:sts::111122223333:assumed-role/a/b is not authorized",
            "User: arn:aws:sts::444455556666:assumed-role/c/d is not authorized",
        ),
        (
            "pod api-7d4b9c6f5d-x2x8z died",
            "pod api-5f6d7c8b9f-q9wzl died",
        ),
        (
            "read 512 bytes in 30s, 2 of 7",
            "read 1024 bytes in 1m30s, 5 of 7",
        ),
        ("RequestId: abcd-1234-ef, no", "RequestId: 9876-zyxw-10, no"),
        ("commit 1a2b3c4 is gone", "commit 9f8e7d6 is gone"),
        (
            "at 2026-11-21T06:41:00Z it broke",
            "at 2025-01-02T03:04:05Z it broke",
        ),
        ("wait in us-west-2 failed", "wait in eu-central-1 failed"),
        (
            "go: inconsistent vendoring in /workspace:",
            "go: inconsistent vendoring in /home/x/go/src/a/code-generator:",
        ),
        (
            "error: not found for name: \"soak\" from \"config/monitor.yaml\"",
            "error: not found for name: \"board\" from \"config/monitor.yaml\"",
        ),
    ];
    for (a, b) in pairs {
        assert_eq!(normalise(a), normalise(b));
    }
}

#[test]
fn what_makes_a_cause_stays() {
    let pairs = [
        ("exit status 2", "exit status 137"),
        (
            "unexpected status: 403 Forbidden",
            "unexpected status: 502 Bad Gateway",
        ),
        (
            "The requested URL returned error: 429",
            "The requested URL returned error: 502",
        ),
        ("HTTP 401: no", "HTTP 404: no"),
        ("curl: (6) no", "curl: (7) no"),
        ("error[E0432]: x", "error[E0433]: x"),
        ("a.go:1:2: undefined: X", "a.go:1:2: undefined: Y"),
        ("--- FAIL: TestA (0.1s)", "--- FAIL: TestB (0.1s)"),
        (
            "Get \"https://a.example/x\": EOF",
            "Get \"https://b.example/x\": EOF",
        ),
        (
            "GITHUB_TOKEN: unbound variable",
            "CHART_DIR: unbound variable",
        ),
    ];
    for (a, b) in pairs {
        assert_ne!(normalise(a), normalise(b));
        assert_ne!(signature(CauseClass::Git, a), signature(CauseClass::Git, b));
    }
}

#[test]
fn a_full_disk_does_not_care_for_the_file_and_a_compiler_does() {
    let same = |class, a, b| signature(class, a) == signature(class, b);
    let (a, b) = (
        "write /tmp/go-build1/b1/x.a: no space left on device",
        "write /var/lib/y/z.so: no space left on device",
    );
    assert!(same(CauseClass::Disk, a, b));
    let (a, b) = (
        "go: k8s.io/api@v0.31.0: Get \"https://proxy.golang.org/k8s.io/api\": EOF",
        "go: github.com/x/y@v1.0.0: Get \"https://proxy.golang.org/github.com/x\": EOF",
    );
    assert!(same(CauseClass::Network, a, b));
    let (a, b) = ("pkg/a/x.go:1:2: unused", "pkg/b/y.go:1:2: unused");
    assert!(!same(CauseClass::Compile, a, b));
}

#[test]
fn a_dependency_is_missed_wherever_it_is_first_missed() {
    let of = |line: &str| signature(CauseClass::Dependency, line);
    let lo = "missing go.sum entry for module providing package github.com/samber/lo";
    let first = of(&format!(
        "pkg/resource/listener/hooks.go:19:2: {lo} (imported by example.org/elb/pkg/listener); to add:"
    ));
    assert_eq!(
        first,
        of(&format!(
            "apis/v1/tags.go:7:2: {lo} (imported by example.org/sns/apis/v1); to add:"
        ))
    );
    assert_eq!(first, of(lo));
    let other = "missing go.sum entry for module providing package github.com/alecthomas/kong";
    assert_ne!(first, of(other));
}

#[test]
fn an_account_that_is_refused_is_one_cause_for_every_tool_and_image() {
    let of = |line: &str| signature(CauseClass::RateLimit, line);
    let daemon = "Error response from daemon: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating";
    let storage = "Error: creating build container: reading manifest 1.24 in docker.io/library/golang: toomanyrequests: You have reached your pull rate limit. You may increase the limit";
    let helm = "Error: failed to authorize: toomanyrequests: Rate exceeded";
    assert_eq!(of(daemon), of(storage));
    assert_ne!(of(daemon), of(helm));
}

#[test]
fn a_signature_has_its_version_and_depends_on_the_class() {
    let git = signature(CauseClass::Git, "x");
    assert_eq!(git.0.len(), "v2:".len() + 20);
    assert!(git.0.starts_with("v2:"));
    assert_ne!(git, signature(CauseClass::Auth, "x"));
    // The masks of a version are a promise to every store.
    let line = "Error: writing manifest: uploading manifest 1.1.24 to 111122223333.dkr.ecr.us-west-2.amazonaws.com/ec2-controller: denied";
    assert_eq!(
        normalise(line),
        "Error: writing manifest: uploading manifest <VER> to <N>.dkr.ecr.<REGION>.amazonaws.com/<NAME>-controller: denied"
    );
}

#[test]
fn templates_are_capped_between_words() {
    let long = normalise(&"word, ".repeat(5_000));
    assert!(long.chars().count() <= MAX_TEMPLATE_CHARS && long.ends_with("word,"));
    assert_eq!(normalise(&"x".repeat(9_000)), "<LONG>");
}

proptest! {
    #[test]
    fn a_template_is_its_own_template(line in prop_oneof![
        "[ -~]{0,200}",
        "([a-f0-9/.:<>TNv-]{1,9}[ /.:@-]){0,30}",
        "\\PC{0,80}",
    ]) {
        let template = normalise(&line);
        prop_assert_eq!(normalise(&template), template.clone());
        prop_assert!(template.chars().count() <= MAX_TEMPLATE_CHARS);
    }
}
