//! All 77 repositories break in all 6 stages in the same second, and all are mended in another one.
use super::{HOUR, MINUTE, Story, Told, at, job};

const SERVICES: usize = 77;
/// Job names of one repository, each a stage; `S` stands for the service.
const JOBS: [&str; 6] = [
    "S-controller-release-pr",
    "S-controller-release-tag",
    "S-post-submit",
    "update-ack-chart",
    "S-controller-olm-bundle-pr",
    "S-soak-on-release",
];

fn services() -> impl Iterator<Item = String> {
    (0..SERVICES).map(|number| format!("svc{number:02}"))
}

async fn told() -> Told {
    let mut story = Story::default();
    let begun = at("2026-03-02T09:00:00Z");
    for (state, begun) in [("failure", begun), ("success", begun + 2 * HOUR)] {
        for service in services() {
            for name in JOBS {
                let base_ref = if name.contains("-release-") && !name.contains("soak") {
                    "main"
                } else {
                    "v1.2.3"
                };
                let job = job(&service, &name.replace('S', &service), base_ref, begun);
                let log =
                    format!("[INFO] Successfully tagged {service}-controller with v1.2.3 tag\n");
                let log = name.ends_with("release-tag").then_some(log);
                story.run(
                    job,
                    begun + 5 * MINUTE,
                    state,
                    log.filter(|_| state == "success"),
                );
            }
        }
    }
    Told::by(story, 12 * HOUR).await
}

#[tokio::test]
async fn each_channel_hears_little_and_nothing_is_lost() {
    let told = told().await;
    // One decision for each of the 924 runs, twice: pending and over.
    let counts = told.inside.counts().await;
    assert_eq!(counts.accepted, 2 * 2 * 77 * 6);
    assert_eq!(counts.incidents_open, 0);
    assert_eq!((counts.outbox_pending, counts.outbox_dead), (0, 0));
    let platform = told.to("platform");
    assert!(platform.len() <= 24, "{}", told.headlines("platform"));
    let all = told.headlines("platform");
    // That everything fails is one thing, and so is that it is over.
    assert!(all.contains("Mass failure: "), "{all}");
    assert!(all.contains("Mass failure is over"), "{all}");
    for service in services() {
        let own = told.to(&service);
        let marks = |mark: &str| own.iter().filter(|(_, text)| text.contains(mark)).count();
        assert!(
            (1..=6).contains(&marks("🔴")),
            "{}",
            told.headlines(&service)
        );
        assert!(
            (1..=6).contains(&marks("✅")),
            "{}",
            told.headlines(&service)
        );
        assert!(own.len() <= 12, "{}", told.headlines(&service));
    }
}
