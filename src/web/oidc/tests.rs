//! What of a token is looked at before any key is asked for; the rest is in `tests/it/pubsub.rs`.

use serde_json::{Value, json};

use super::*;

fn settings() -> PubsubSettings {
    PubsubSettings {
        audience: "us".to_owned(),
        service_account: "push@example.iam.gserviceaccount.com".to_owned(),
        keys_url: "https://keys.example.com/certs".parse().unwrap(),
    }
}

const NOW: i64 = 1_800_000_000;

fn good() -> Value {
    json!({"iss": "https://accounts.google.com", "aud": "us", "sub": "1", "azp": "1", "email_verified": true,
        "email": "push@example.iam.gserviceaccount.com", "iat": NOW - 10, "exp": NOW + 3590})
}

fn checked(claims: Value) -> Result<(), Refused> {
    let claims = serde_json::from_value(claims).unwrap();
    check(&claims, &settings(), Timestamp::from_second(NOW).unwrap())
}

#[test]
fn claims_hold_within_the_leeway_of_two_clocks() {
    assert_eq!(checked(good()), Ok(()));
    for (key, value, holds) in [
        ("iss", json!("accounts.google.com"), true),
        ("iss", json!("https://accounts.google.com/"), false),
        ("aud", json!("them"), false),
        (
            "email",
            json!("other@example.iam.gserviceaccount.com"),
            false,
        ),
        ("email_verified", json!(false), false),
        ("exp", json!(NOW - LEEWAY_S + 1), true),
        ("exp", json!(NOW - LEEWAY_S), false),
        ("iat", json!(NOW + LEEWAY_S), true),
        ("iat", json!(NOW + LEEWAY_S + 1), false),
        ("nbf", json!(NOW + LEEWAY_S), true),
        ("nbf", json!(NOW + LEEWAY_S + 1), false),
        ("exp", json!(i64::MIN), false),
    ] {
        let mut claims = good();
        claims[key] = value.clone();
        assert_eq!(checked(claims).is_ok(), holds, "{key} {value}");
    }
}

#[test]
fn claims_that_are_missing_are_no_claims() {
    for key in ["iss", "aud", "email", "exp", "iat"] {
        let mut claims = good();
        claims.as_object_mut().unwrap().remove(key);
        assert!(serde_json::from_value::<Claims>(claims).is_err(), "{key}");
    }
    let mut unverified = good();
    unverified.as_object_mut().unwrap().remove("email_verified");
    assert!(checked(unverified).is_err());
}
