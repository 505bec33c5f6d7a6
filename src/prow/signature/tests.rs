//! Proves who may sign what.

use super::*;
use crate::prow::parse::Parts;

const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn file(content: &str) -> TokenFile {
    TokenFile::parse(content.as_bytes(), Path::new("hmac")).unwrap()
}

fn data(path: &str) -> Vec<u8> {
    std::fs::read(format!("tests/data/prow/webhooks/{path}")).unwrap()
}

fn sign(token: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).unwrap();
    let digest = mac.chain_update(body).finalize().into_bytes();
    format!("sha256={}", hex::encode(digest))
}

fn keys(pairs: &[(&str, &str)]) -> RepositoryKeys {
    let pairs = pairs.iter();
    RepositoryKeys(
        pairs
            .map(|(org, repo)| ((*org).to_owned(), (*repo).to_owned()))
            .collect(),
    )
}

#[test]
fn only_one_full_sha256_signature_is_accepted() {
    let tokens = file(SECRET);
    let nobody = RepositoryKeys::default();
    let upper = format!(
        "sha256={}",
        SIGNATURE.trim_start_matches("sha256=").to_uppercase()
    );
    for good in [SIGNATURE, &upper] {
        assert_eq!(tokens.verify(BODY, Some(good), &nobody), Ok(()));
    }
    assert_eq!(
        tokens.verify(BODY, None, &nobody),
        Err(Unauthorized::Missing)
    );
    let odd = SIGNATURE.strip_suffix('7').unwrap();
    let bare = SIGNATURE.trim_start_matches("sha256=");
    for malformed in [
        "",
        "sha256=",
        odd,
        bare,
        odd.strip_suffix('1').unwrap(),
        &format!("{SIGNATURE}00"),
        &format!("{SIGNATURE},{SIGNATURE}"),
        &format!("{SIGNATURE} "),
        &format!(" {SIGNATURE}"),
        &format!("SHA256={bare}"),
        &format!("{odd}g"),
        "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59",
    ] {
        let answer = tokens.verify(BODY, Some(malformed), &nobody);
        assert_eq!(answer, Err(Unauthorized::Malformed), "{malformed:?}");
    }
}

#[test]
fn each_flipped_bit_of_signature_or_body_is_noticed() {
    let tokens = file(SECRET);
    let nobody = RepositoryKeys::default();
    let signature = hex::decode(SIGNATURE.trim_start_matches("sha256=")).unwrap();
    for bit in 0..256 {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let header = format!("sha256={}", hex::encode(flipped));
        assert!(
            tokens.verify(BODY, Some(&header), &nobody).is_err(),
            "{bit}"
        );
    }
    for bit in 0..BODY.len() * 8 {
        let mut flipped = BODY.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(
            tokens.verify(&flipped, Some(SIGNATURE), &nobody).is_err(),
            "{bit}"
        );
    }
}

#[test]
fn only_the_most_specific_key_counts() {
    let tokens = TokenFile::parse(&data("hmac-map.yaml"), Path::new("hmac")).unwrap();
    let s3 = ("aws-controllers-k8s", "s3-controller");
    let sqs = ("aws-controllers-k8s", "sqs-controller");
    let other = ("other", "repo");
    for (owners, good) in [
        (keys(&[s3]), &["repo-secret"][..]),
        (keys(&[sqs]), &["org-secret"]),
        (keys(&[("aws-controllers-k8s", "")]), &["org-secret"]),
        (keys(&[other]), &["global-secret", "global-secret-old"]),
        (keys(&[]), &["global-secret", "global-secret-old"]),
        (keys(&[s3, sqs]), &[]),
        (keys(&[s3, other]), &[]),
        (
            keys(&[("third", "repo"), other]),
            &["global-secret", "global-secret-old"],
        ),
    ] {
        for token in [
            "repo-secret",
            "org-secret",
            "global-secret",
            "global-secret-old",
            "",
            "x",
        ] {
            let answer = tokens.verify(BODY, Some(&sign(token, BODY)), &owners);
            assert_eq!(answer.is_ok(), good.contains(&token), "{owners:?} {token}");
        }
    }
}

#[test]
fn a_map_without_everybody_accepts_nobody_else() {
    let tokens = file("org: [{value: 12e4567}]");
    let ok = tokens.verify(BODY, Some(&sign("12e4567", BODY)), &keys(&[("org", "r")]));
    assert_eq!(
        ok,
        Ok(()),
        "a token that looks like a number stays as written"
    );
    let error = tokens.verify(BODY, Some(&sign("12e4567", BODY)), &keys(&[("foe", "r")]));
    assert_eq!(
        error.unwrap_err().to_string(),
        r#"hmac token file hmac has no key for "foe/r"; add it, or a key "*""#
    );
}

#[test]
fn the_recorded_delivery_holds() {
    let body = data("github-status-failure.json");
    let headers = String::from_utf8(data("github-status-failure.headers")).unwrap();
    let header = |name: &str| {
        let line = headers.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(": ").to_owned())
            .unwrap()
    };
    let owners = github_repositories(&body).unwrap();
    assert_eq!(owners, keys(&[("aws-controllers-k8s", "s3-controller")]));
    let tokens = TokenFile::parse(&data("hmac-single-token.txt"), Path::new("hmac")).unwrap();
    let good = header("X-Hub-Signature-256");
    assert_eq!(tokens.verify(&body, Some(&good), &owners), Ok(()));
    let weak = header("X-Hub-Signature");
    assert!(
        tokens
            .verify(&body, Some(weak.trim_start_matches("-256")), &owners)
            .is_err()
    );
}

#[test]
fn unusable_token_files_say_which_key() {
    for (content, expected) in [
        (
            "",
            r#"it is empty; write one token, or a map of org, org/repo or "*" to tokens"#,
        ),
        (
            " \n",
            r#"it is empty; write one token, or a map of org, org/repo or "*" to tokens"#,
        ),
        (
            "{}",
            r#"it is empty; write one token, or a map of org, org/repo or "*" to tokens"#,
        ),
        (
            "org: []",
            r#"key "org" has no tokens; remove it or give it one"#,
        ),
        (
            "org:\n- value: ''",
            r#"key "org" has an empty token; remove it or give it a value"#,
        ),
        (
            "org:\n- created_at: x",
            r#"key "org" has an empty token; remove it or give it a value"#,
        ),
        (
            "org: [{value: }]",
            r#"key "org" has an empty token; remove it or give it a value"#,
        ),
        (
            "org:\n- value: a\norg:\n- value: b",
            r#"several lines that are not a map of org, org/repo or "*" to a list of {value: TOKEN}"#,
        ),
        (
            "org:\n- value: a\n---\nother:\n- value: b",
            r#"several lines that are not a map of org, org/repo or "*" to a list of {value: TOKEN}"#,
        ),
        (
            "org:\n- value: a\norg: b",
            r#"several lines that are not a map of org, org/repo or "*" to a list of {value: TOKEN}"#,
        ),
    ] {
        let error = TokenFile::parse(content.as_bytes(), Path::new("/etc/hmac")).unwrap_err();
        let expected = format!("hmac token file /etc/hmac: {expected}");
        assert_eq!(error.to_string(), expected, "{content:?}");
    }
    assert!(TokenFile::parse(b"\xff", Path::new("hmac")).is_err());
}

#[test]
fn no_token_is_shown() {
    for content in ["canary-token", "org:\n- value: canary-token\n"] {
        let tokens = file(content);
        let error = tokens.verify(BODY, Some(SIGNATURE), &keys(&[("org", "r")]));
        let shown = format!("{tokens:?} {:?} {}", error, error.clone().unwrap_err());
        assert!(!shown.contains("canary"), "{shown}");
    }
    let broken = TokenFile::parse(b"org:\n- canary-token\n- x", Path::new("hmac")).unwrap_err();
    assert!(!format!("{broken:?} {broken}").contains("canary"));
}

#[test]
fn a_body_belongs_to_every_repository_in_it() {
    let refs = |org: &str, repo: &str| format!(r#"{{"org":"{org}","repo":"{repo}"}}"#);
    let job = |spec: &str| {
        format!(
            r#"{{"metadata":{{"labels":{{"prow.k8s.io/refs.org":"l","prow.k8s.io/refs.repo":"r"}}}},"spec":{{{spec}}}}}"#
        )
    };
    let own = job(&format!(
        r#""refs":{},"extra_refs":[{}]"#,
        refs("o", "a"),
        refs("x", "y")
    ));
    let extra = job(&format!(
        r#""extra_refs":[{},{}]"#,
        refs("e", "f"),
        refs("x", "y")
    ));
    let labelled = job("");
    for (body, expected) in [
        (own.clone(), &[("o", "a")][..]),
        (extra.clone(), &[("e", "f")]),
        (labelled.clone(), &[("l", "r")]),
        ("{}".to_owned(), &[]),
        (
            format!(r#"{{"items":[{own},{extra},{own}]}}"#),
            &[("o", "a"), ("e", "f")],
        ),
        (
            format!(r#"{{"type":"DELETED","object":{own}}}"#),
            &[("o", "a")],
        ),
        (format!("{own}\n{labelled}"), &[("o", "a"), ("l", "r")]),
        (
            format!(r#"{{"repository":{{"full_name":"foe/x"}},"items":[{own}]}}"#),
            &[("o", "a")],
        ),
    ] {
        assert_eq!(
            repositories(&Parts::split(body.as_bytes())).unwrap(),
            keys(expected),
            "{body}"
        );
    }
    for body in ["", "x", "{", r#"{"spec":{},"spec":{}}"#] {
        let owners = repositories(&Parts::split(body.as_bytes()));
        assert!(body.is_empty() || owners.is_err(), "{body}");
    }
}

#[test]
fn a_github_event_belongs_to_its_repository_or_organization() {
    for (body, expected) in [
        (
            r#"{"repository":{"full_name":"o/r"},"organization":{"login":"x"}}"#,
            &[("o", "r")][..],
        ),
        (
            r#"{"repository":null,"organization":{"login":"x"}}"#,
            &[("x", "")],
        ),
        (r#"{"zen":"ping"}"#, &[]),
    ] {
        assert_eq!(
            github_repositories(body.as_bytes()).unwrap(),
            keys(expected)
        );
    }
    assert!(github_repositories(b"[1").is_err());
}
