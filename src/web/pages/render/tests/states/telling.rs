//! States of the pages about whom is told what: receivers and what they were sent, silences and windows.

use serde_json::{Value, json};

use super::{
    super::{HOSTILE, age, open, with},
    case, check,
};

#[test]
fn good_receivers_make_room_for_those_in_trouble() {
    let receiver = |name: &str, changes: Value| {
        with(
            json!({ "name": name, "standing": "good", "state": "healthy",
        "dead": null, "failures": 0, "blocked_until": null, "pending": 0, "oldest_at": null, "dead_letters": 0,
        "diverted": 0 }),
            changes,
        )
    };
    let good = |count: usize| -> Vec<Value> {
        (0..count)
            .map(|one| receiver(&format!("good-{one}"), json!({})))
            .collect()
    };
    let page = |receivers: Vec<Value>, filter: Value| {
        json!({ "data": age(false), "receivers": receivers, "dead": [],
        "dead_total": 0, "recent": [], "next": null, "filter": filter,
        "conservation": { "accepted": 0, "decided": 0, "waiting": 0, "set_aside": 0, "holds": true, "decisions": {} } })
    };
    let none = json!({ "state": null, "receiver": null });
    let held = receiver(
        "held",
        json!({ "standing": "waits", "state": "stalled", "pending": 2, "failures": 3,
        "oldest_at": "2026-05-19T20:30:00Z", "blocked_until": "2026-05-19T20:40:00Z" }),
    );
    let owing = receiver("owing", json!({ "dead_letters": 4 }));
    let many = |trouble: &Value| [vec![trouble.clone()], good(9)].concat();
    check(vec![
        case(
            "deliveries.html",
            "few and good",
            page(good(8), none.clone()),
            &["good-7"],
            &["id=\"good-receivers\""],
        ),
        case(
            "deliveries.html",
            "many and good",
            page(good(9), none.clone()),
            &["9 receivers are good", "good-8"],
            &["more are good"],
        ),
        case(
            "deliveries.html",
            "one held up",
            page(many(&held), none.clone()),
            &[
                "9 receivers more are good",
                "nothing is sent before",
                "3 failures in a row",
                "since ",
            ],
            &[],
        ),
        case(
            "deliveries.html",
            "one with dead letters",
            page(many(&owing), none),
            &["9 receivers more are good", ">4</td>"],
            &[],
        ),
        case(
            "deliveries.html",
            "none of these",
            page(good(1), json!({ "state": "dead", "receiver": HOSTILE })),
            &[
                "No such delivery.",
                "aria-current=\"true\">given up</a>",
                ">waits</a>",
                "every receiver",
            ],
            &[],
        ),
    ]);
}

#[test]
fn silences_are_previewed_and_windows_told_in_full() {
    let page = |changes: Value| {
        with(
            json!({ "data": age(false), "silences": [], "windows": [], "preview": null,
        "longest": "7 d", "all": false, "form": { "match": [HOSTILE], "reason": HOSTILE, "for": "2h" },
        "refused": null, "query": "" }),
            changes,
        )
    };
    let window = |changes: Value| {
        with(
            json!({ "name": HOSTILE, "matchers": [HOSTILE], "when": "at night",
        "critical": true, "on_routes": false, "open_until": null, "hides": 0 }),
            changes,
        )
    };
    let one = json!({ "id": 3, "standing": "active", "matchers": [HOSTILE], "author": HOSTILE, "reason": HOSTILE,
        "starts_at": "2026-05-19T20:00:00Z", "ends_at": "2026-05-19T21:00:00Z", "ends_in_s": 1440, "expired_by": null,
        "hides": 0 });
    let early = with(one.clone(), json!({ "standing": "expired", "hides": 1 }));
    let preview =
        |open: Value| json!({ "preview": { "written": "a", "error": null, "open": open } });
    check(vec![
        case(
            "silences.html",
            "that would hide one",
            page(preview(json!([open(1, None)]))),
            &["hide 1 open incident, and"],
            &["incidents, and"],
        ),
        case(
            "silences.html",
            "that would hide two",
            page(preview(json!([open(1, None), open(2, Some(1))]))),
            &["hide 2 open incidents, and"],
            &[],
        ),
        case(
            "silences.html",
            "all of them",
            page(json!({ "all": true, "silences": [one, early], "query": "&all=1" })),
            &[
                "Only those of today",
                "nothing to hide so far",
                "hides 1 incident<",
                "format=csv&amp;all=1",
            ],
            &["Older ones too", "ended by"],
        ),
        case(
            "silences.html",
            "with windows",
            page(
                json!({ "windows": [window(json!({})), window(json!({ "critical": false,
            "on_routes": true, "matchers": [], "open_until": "2026-05-19T22:00:00Z" }))] }),
            ),
            &[
                "everywhere",
                "not open",
                "routes that name it",
                "everything",
                "open until",
            ],
            &["has no mute windows"],
        ),
        case(
            "silences.html",
            "without windows",
            page(json!({})),
            &["Nothing is silenced", "has no mute windows", "7 d at most"],
            &["role=\"alert\""],
        ),
    ]);
}
