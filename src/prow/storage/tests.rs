//! Every form of path and address that Prow writes, and those that must be refused.

use jiff::Timestamp;

use super::*;
use crate::{
    domain::{
        observation::Source,
        prowjob::{Pull, State},
        samples,
    },
    prow::parse,
};

fn run(job_type: JobType, job: &str, build_id: &str) -> Observation {
    Observation {
        source: Source::Webhook,
        job_type,
        state: State::Failure,
        build_id: Some(build_id.to_owned()),
        ..samples::run("run", job)
    }
}

fn with_pull(mut run: Observation, org: &str, repo: &str, number: u64) -> Observation {
    run.refs = Some(Refs {
        org: org.to_owned(),
        repo: repo.to_owned(),
        repo_link: None,
        base_ref: "main".to_owned(),
        base_sha: None,
        base_link: None,
        pull: Some(Pull {
            number,
            author: String::new(),
            sha: String::new(),
        }),
    });
    run
}

fn stored_in(mut run: Observation, bucket: &str, strategy: &str) -> Observation {
    run.artifacts = Artifacts {
        bucket: Some(bucket.to_owned()),
        path_strategy: Some(strategy.to_owned()),
        default_org: Some("kubernetes".to_owned()),
        default_repo: Some("kubernetes".to_owned()),
        decorated: Some(true),
        ..Artifacts::default()
    };
    run
}

#[track_caller]
fn folder(run: &Observation, fallback: Option<&Layout>) -> String {
    match place(run, fallback) {
        Place::Stored(stored) => stored.folder.to_string(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn reason(run: &Observation) -> String {
    match place(run, None) {
        Place::Stored(stored) => panic!("{stored:?}"),
        Place::OnlyDeck(why) | Place::Nothing(why) => why,
    }
}

#[test]
fn pull_requests_are_laid_out_by_the_strategy() {
    for (strategy, org, repo, segment) in [
        (
            "explicit",
            "kubernetes",
            "kubernetes",
            "kubernetes_kubernetes/",
        ),
        (
            "explicit",
            "kubernetes",
            "test-infra",
            "kubernetes_test-infra/",
        ),
        (
            "explicit",
            "kubernetes-sigs",
            "kind",
            "kubernetes-sigs_kind/",
        ),
        ("single", "kubernetes", "kubernetes", ""),
        (
            "single",
            "kubernetes",
            "test-infra",
            "kubernetes_test-infra/",
        ),
        ("single", "kubernetes-sigs", "kind", "kubernetes-sigs_kind/"),
        ("legacy", "kubernetes", "kubernetes", ""),
        ("legacy", "kubernetes", "test-infra", "test-infra/"),
        ("legacy", "kubernetes-sigs", "kind", "kubernetes-sigs_kind/"),
        (
            "explicit",
            "https://gerrit.example.com",
            "a/b",
            "gerrit.example.com_a_b/",
        ),
    ] {
        let run = run(
            JobType::Presubmit,
            "pull-kubernetes-unit",
            "1549129474832863232",
        );
        let run = stored_in(
            with_pull(run, org, repo, 123_456),
            "gs://kubernetes-ci-logs",
            strategy,
        );
        let expected = format!(
            "gs://kubernetes-ci-logs/pr-logs/pull/{segment}123456/pull-kubernetes-unit/1549129474832863232"
        );
        assert_eq!(folder(&run, None), expected, "{strategy} {org}/{repo}");
    }
}

#[test]
fn other_types_do_not_name_the_repository() {
    for (job_type, path) in [
        (
            JobType::Postsubmit,
            "logs/s3-post-submit/2090378317919162368",
        ),
        (JobType::Periodic, "logs/s3-post-submit/2090378317919162368"),
        (
            JobType::Batch,
            "pr-logs/pull/batch/s3-post-submit/2090378317919162368",
        ),
    ] {
        let run = run(job_type, "s3-post-submit", "2090378317919162368");
        let run = stored_in(
            with_pull(run, "o", "r", 1),
            "s3://ack-prow-logs",
            "explicit",
        );
        assert_eq!(folder(&run, None), format!("s3://ack-prow-logs/{path}"));
    }
}

#[test]
fn a_prefix_and_a_path_in_the_bucket_come_first() {
    let mut run = stored_in(
        run(JobType::Postsubmit, "j", "1"),
        "gs://example-logs/top/",
        "single",
    );
    run.artifacts.path_prefix = Some("ci/prow/".to_owned());
    assert_eq!(folder(&run, None), "gs://example-logs/top/ci/prow/logs/j/1");
}

#[test]
fn a_local_output_folder_holds_the_files_themselves() {
    let mut run = stored_in(
        run(JobType::Postsubmit, "j", "1"),
        "gs://example-logs",
        "single",
    );
    run.artifacts.local_output_dir = Some("/out/run".to_owned());
    assert_eq!(folder(&run, None), "file:///out/run");
}

#[test]
fn every_sample_is_where_its_page_says() {
    let folder_of_samples = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/prow/prowjobs");
    let mut compared = 0;
    for file in std::fs::read_dir(folder_of_samples).unwrap() {
        let json = std::fs::read(file.unwrap().path()).unwrap();
        let run = parse::observation(&json, Source::File, Timestamp::UNIX_EPOCH).unwrap();
        let (Place::Stored(own), Some(url)) = (place(&run, None), &run.url) else {
            continue;
        };
        let (_, path) = url.split_once("/view/").unwrap();
        let path = path.trim_end_matches('/');
        assert_eq!(own.folder.to_string().replacen("://", "/", 1), path);
        if own.told_by == ToldBy::Run {
            let bare = Observation {
                artifacts: Artifacts::default(),
                ..run
            };
            assert_eq!(folder(&bare, None), own.folder.to_string());
            compared += 1;
        }
    }
    assert!(compared >= 15, "{compared}");
}

#[test]
fn addresses_of_pages_are_read_in_all_their_forms() {
    let s3 = Layout {
        root: Location::parse("s3://other").unwrap(),
        strategy: Strategy::Explicit,
        default_org: String::new(),
        default_repo: String::new(),
    };
    for (url, prefix, fallback, expected) in [
        (
            "https://prow/view/s3/logs-a/logs/j/1",
            "",
            None,
            "s3://logs-a/logs/j/1",
        ),
        (
            "https://prow/view/gcs/logs-a/logs/j/1/?x=1#2",
            "",
            None,
            "gs://logs-a/logs/j/1",
        ),
        (
            "https://prow/x/view/logs-a/logs/j/1",
            "",
            None,
            "gs://logs-a/logs/j/1",
        ),
        (
            "https://prow/x/view/logs-a/logs/j/1",
            "",
            Some(&s3),
            "s3://logs-a/logs/j/1",
        ),
        (
            "https://ui/runs/s3/logs-a/logs/j/1",
            "https://ui/runs/",
            None,
            "s3://logs-a/logs/j/1",
        ),
        (
            "https://ui/s3/logs-a/logs/j/1",
            "https://ui/s3/",
            None,
            "s3://logs-a/logs/j/1",
        ),
        (
            "https://prow/view/file/var/prow/logs/j/1",
            "",
            None,
            "file:///var/prow/logs/j/1",
        ),
        (
            "https://jobs/whatever/1",
            "",
            Some(&s3),
            "s3://other/logs/j/1",
        ),
        (
            "https://prow/view/prowjob/j/1",
            "",
            Some(&s3),
            "s3://other/logs/j/1",
        ),
    ] {
        let mut run = run(JobType::Postsubmit, "j", "1");
        run.url = Some(url.to_owned());
        run.artifacts.job_url_prefix = Some(prefix.to_owned());
        assert_eq!(folder(&run, fallback), expected, "{url}");
    }
}

#[test]
fn logs_are_named_after_the_containers_when_there_are_several() {
    let logs_of = |decorated, containers: &[&str]| {
        let containers = containers.iter().map(|name| (*name).to_owned()).collect();
        logs(&Artifacts {
            containers,
            decorated,
            ..Artifacts::default()
        })
        .unwrap()
    };
    let named = |names: &[&str]| Logs::Named(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(logs_of(Some(true), &[]), named(&["build-log.txt"]));
    assert_eq!(logs_of(Some(true), &["test"]), named(&["build-log.txt"]));
    assert_eq!(
        logs_of(Some(true), &["main", "aux1"]),
        named(&["main-build-log.txt", "aux1-build-log.txt"])
    );
    assert_eq!(logs_of(None, &[]), Logs::Unnamed);
    assert!(matches!(logs_of(Some(false), &["test"]), Logs::None(_)));
}

#[test]
fn what_has_no_stored_log_says_why() {
    let plain = run(JobType::Postsubmit, "j", "1");
    let with_agent = |agent: &str| Observation {
        agent: agent.to_owned(),
        ..plain.clone()
    };
    let unstarted = Observation {
        build_id: None,
        ..plain.clone()
    };
    for (run, expected) in [
        (with_agent("jenkins"), "Jenkins"),
        (with_agent("tekton-pipeline"), "Tekton"),
        (with_agent("spaceship"), "agent spaceship"),
        (unstarted, "no pod was started"),
        (plain.clone(), "artifacts.defaults"),
    ] {
        let why = reason(&run);
        assert!(why.contains(expected), "{why}");
    }
}

#[test]
fn hostile_names_are_refused_with_a_reason() {
    let long = "x".repeat(10_000);
    for hostile in [
        "..", ".", "a/../b", "%2e%2e", "a\0b", "a\\b", "a b", "é", &long, "",
    ] {
        let good = stored_in(
            run(JobType::Postsubmit, "j", "1"),
            "s3://logs-a",
            "explicit",
        );
        let mut by_job = good.clone();
        by_job.job = hostile.to_owned();
        let mut by_build = good.clone();
        by_build.build_id = Some(hostile.to_owned());
        let mut by_bucket = good.clone();
        by_bucket.artifacts.bucket = Some(format!("s3://{hostile}"));
        let mut by_url = run(JobType::Postsubmit, "j", "1");
        by_url.url = Some(format!("https://prow/view/s3/logs-a/%{hostile}/j/1"));
        let mut by_repo = stored_in(
            with_pull(
                run(JobType::Presubmit, "j", "1"),
                "o",
                &format!("{hostile}%"),
                1,
            ),
            "s3://logs-a",
            "explicit",
        );
        by_repo.artifacts.containers = vec!["a".to_owned(), hostile.to_owned()];
        for (which, run) in [by_job, by_build, by_bucket, by_url, by_repo]
            .into_iter()
            .enumerate()
        {
            let why = reason(&run);
            assert!(
                why.contains("cannot be looked for"),
                "{which} {hostile:?}: {why}"
            );
            assert!(why.len() < 600, "{why}");
        }
    }
    let mut elsewhere = run(JobType::Postsubmit, "j", "1");
    elsewhere.url = Some("https://prow/view/s3/logs-a/logs/other/1".to_owned());
    assert!(reason(&elsewhere).contains("this job"));
}

proptest::proptest! {
    /// Whatever a run says of its logs, the folder found is one that reads back as itself.
    #[test]
    fn a_folder_never_leads_out_of_its_bucket(
        bucket in "(s3://|gs://|file://|/|)[a-c./%\\\\]{0,12}",
        prefix in "[a-c./%\\\\\\x00]{0,8}",
        job in "[a-c./%]{1,6}",
        build in "[0-9./%]{1,6}",
        url in proptest::option::of("https://p/(view/)?(s3|gs|file|x)/[a-c./%?#]{0,16}"),
    ) {
        let mut run = run(JobType::Postsubmit, &job, &build);
        run.url = url;
        run.artifacts.bucket = (bucket.len() % 3 > 0).then_some(bucket);
        run.artifacts.path_prefix = Some(prefix);
        if let Place::Stored(stored) = place(&run, None) {
            let folder = stored.folder;
            proptest::prop_assert_eq!(Location::parse(&folder.to_string()), Ok(folder.clone()));
            proptest::prop_assert!(!folder.path.split('/').any(|part| matches!(part, "." | "..")));
            proptest::prop_assert!(!folder.path.contains(['%', '\\', '\0']));
        }
    }
}
