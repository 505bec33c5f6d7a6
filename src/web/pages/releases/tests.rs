//! Every page in every state, from data made by hand.

mod drawn;

use jiff::Timestamp;
use serde::Serialize;

use super::{super::render::render, *};
use crate::board::{
    age::DataAge,
    fanout::{Count, Member, StageCount, Total, Who},
    glyph::State as Stands,
    graph::{self, Content, Edge, EdgeKind, Graph},
    now::{Counter, Open},
    release::{
        Action, Said,
        axis::{Axis, Bar, Row as AxisRow, Tick},
        stages::{NeedView, StageView},
    },
    service::{Job, Receiver, Row, Spell, Week, Weeks},
    services::{Mark, Service, Stage},
    wall::Wall,
};

/// What outside text may try.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror='x' style=\"color:red\">";

fn at() -> Timestamp {
    "2026-05-20T12:00:00Z".parse().unwrap()
}

fn data(stale: bool) -> DataAge {
    DataAge {
        now: at(),
        as_of: Some(at()),
        data_age_s: Some(if stale { 9000 } else { 3 }),
        stale,
    }
}

fn open(text: &str) -> Open {
    Open {
        id: 7,
        state: Stands::Blocked,
        kind: text.to_owned(),
        service: text.to_owned(),
        version: text.to_owned(),
        is_version: true,
        is_release: true,
        stage: text.to_owned(),
        since: at(),
        age_s: 90,
        what: text.to_owned(),
        reason: Some(text.to_owned()),
        signature: Some(text.to_owned()),
        failures: 2,
        run: text.to_owned(),
        job: text.to_owned(),
        told: vec![text.to_owned()],
        held_back_by: Vec::new(),
        ask: Some(text.to_owned()),
        blocks: vec![text.to_owned()],
        root: None,
        last_good: Some(text.to_owned()),
        links: Vec::new(),
    }
}

fn spell(text: &str) -> Spell {
    Spell {
        id: 3,
        state: Stands::Failing,
        since: at(),
        until: Some(at()),
        lasted_s: 61,
        stage: text.to_owned(),
        version: text.to_owned(),
        what: text.to_owned(),
        run: text.to_owned(),
    }
}

/// All states, each in a box.
fn picture(text: &str) -> Graph {
    let contents = Stands::ALL.map(|state| Content {
        name: text.to_owned(),
        state,
        beside: " · 2 runs".to_owned(),
        note: text.to_owned(),
        link: Some(format!("#stage-{text}")),
        critical: state == Stands::Blocked,
    });
    let kinds = [EdgeKind::Gate, EdgeKind::Starts, EdgeKind::Needs];
    let edges: Vec<Edge> = kinds
        .into_iter()
        .enumerate()
        .map(|(from, kind)| Edge {
            from,
            to: from + 1,
            kind,
            critical: from == 0,
        })
        .collect();
    graph::draw(contents.to_vec(), &edges)
}

fn stage_view(text: &str, state: Stands) -> StageView {
    StageView {
        name: text.to_owned(),
        state,
        run: (state != Stands::Planned).then(|| text.to_owned()),
        attempts: 2,
        elapsed_s: Some(61),
        usual_s: Some(50),
        due_by: (state == Stands::Planned).then(at),
        done_at: None,
        needs: [EdgeKind::Gate, EdgeKind::Starts]
            .map(|kind| NeedView {
                stage: text.to_owned(),
                kind,
                within_s: (kind == EdgeKind::Starts).then_some(600),
                critical: false,
            })
            .to_vec(),
        shared: true,
        required: true,
        critical_path: true,
        note: text.to_owned(),
        detail: text.to_owned(),
    }
}

fn axis(text: &str) -> Axis {
    Axis {
        width: 900,
        height: 60,
        rows: vec![AxisRow {
            stage: text.to_owned(),
            y: 0,
            bars: vec![Bar {
                run: text.to_owned(),
                state: Stands::Failing,
                attempt: 2,
                x: 190,
                width: 30,
                from: at(),
                took_s: 61,
            }],
        }],
        ticks: vec![Tick {
            x: 190,
            label: "start".to_owned(),
        }],
    }
}

fn full_release(text: &str) -> ReleasePage {
    ReleasePage {
        data: data(false),
        service: text.to_owned(),
        version: text.to_owned(),
        pipeline: text.to_owned(),
        state: Stands::Blocked,
        sentence: text.to_owned(),
        began_at: at(),
        done_at: None,
        took_s: 90,
        stages: Stands::ALL.map(|state| stage_view(text, state)).to_vec(),
        graph: picture(text),
        axis: Some(axis(text)),
        actions: vec![Action {
            at: at(),
            what: "run again".to_owned(),
            stage: text.to_owned(),
            run: text.to_owned(),
            state: Stands::Failing,
        }],
        open: vec![open(text)],
        ended: vec![spell(text)],
        said: vec![Said {
            id: text.to_owned(),
            event: text.to_owned(),
            receiver: text.to_owned(),
            at: at(),
            outcome: text.to_owned(),
        }],
        repository: Some(text.to_owned()),
    }
}

fn bare_release(stale: bool) -> ReleasePage {
    ReleasePage {
        data: data(stale),
        state: Stands::Healthy,
        done_at: Some(at()),
        stages: Vec::new(),
        graph: graph::draw(Vec::new(), &[]),
        axis: None,
        actions: Vec::new(),
        open: Vec::new(),
        ended: Vec::new(),
        said: Vec::new(),
        repository: None,
        ..full_release("s3")
    }
}

fn cell(text: &str, state: Stands) -> Cell {
    Cell {
        stage: text.to_owned(),
        state,
        run: (state != Stands::Planned).then(|| text.to_owned()),
        attempts: 3,
    }
}

fn full_service(text: &str) -> ServicePage {
    let week = |counted, passed| Week {
        from: "2026-05-18".to_owned(),
        passed,
        counted,
        x: 0,
        width: 18,
        y: 10,
        bar: 46,
    };
    ServicePage {
        data: data(false),
        name: text.to_owned(),
        summary: Some(summary(text)),
        open: vec![open(text)],
        columns: vec![text.to_owned(); Stands::ALL.len() + 1],
        releases: vec![Row {
            version: text.to_owned(),
            pipeline: text.to_owned(),
            began_at: at(),
            took_s: None,
            cells: Stands::ALL
                .into_iter()
                .map(|state| Some(cell(text, state)))
                .chain([None])
                .collect(),
        }],
        next: Some(text.to_owned()),
        ended: vec![spell(text)],
        weeks: Weeks {
            width: 60,
            height: 56,
            weeks: vec![week(0, 0), week(3, 3), week(4, 1)],
        },
        jobs: vec![Job {
            key: text.to_owned(),
            name: text.to_owned(),
            on: text.to_owned(),
            stage: Some(text.to_owned()),
            state: Stands::Flaky,
        }],
        receivers: vec![Receiver {
            name: text.to_owned(),
            by: text.to_owned(),
        }],
        repository: Some(text.to_owned()),
        pipelines: vec![text.to_owned()],
    }
}

fn summary(text: &str) -> Service {
    Service {
        name: text.to_owned(),
        state: Stands::Blocked,
        since: Some(at()),
        current: Some(text.to_owned()),
        last_good_at: Some(at()),
        last_good_age_s: Some(61),
        target: Some(text.to_owned()),
        stages: vec![Stage {
            name: text.to_owned(),
            state: Stands::Failing,
            run: None,
        }],
        strip: vec![Mark {
            run: text.to_owned(),
            state: Stands::Healthy,
            at_ms: 0,
        }],
        jobs: std::collections::BTreeMap::new(),
        releases: 4,
        first_try: 3,
    }
}

fn bare_service(stale: bool) -> ServicePage {
    ServicePage {
        data: data(stale),
        summary: None,
        open: Vec::new(),
        columns: Vec::new(),
        releases: Vec::new(),
        next: None,
        ended: Vec::new(),
        weeks: Weeks {
            width: 0,
            height: 56,
            weeks: Vec::new(),
        },
        jobs: Vec::new(),
        receivers: Vec::new(),
        repository: None,
        pipelines: Vec::new(),
        ..full_service("s3")
    }
}

fn fan_out(text: &str, members: usize, stale: bool) -> FanOut {
    let who = Who {
        service: text.to_owned(),
        version: text.to_owned(),
        run: None,
    };
    let stage = StageCount {
        name: text.to_owned(),
        state: Stands::Failing,
        counts: vec![Count {
            state: Stands::Failing,
            releases: members,
            percent: 40,
            members: vec![
                who.clone(),
                Who {
                    run: Some(text.to_owned()),
                    ..who
                },
            ],
        }],
    };
    let member = Member {
        service: text.to_owned(),
        version: text.to_owned(),
        state: Stands::Failing,
        began_at: at(),
        cells: Stands::ALL.map(|state| cell(text, state)).to_vec(),
    };
    FanOut {
        data: data(stale),
        pipeline: text.to_owned(),
        asked: "24h".to_owned(),
        title: text.to_owned(),
        graph: picture(text),
        stages: vec![stage; 6],
        members: vec![member; members],
        cut: members > 2,
        totals: vec![Total {
            state: Stands::Failing,
            releases: members,
        }],
    }
}

fn wall_of(open: Vec<Open>, more: usize, stale: bool) -> Wall {
    Wall {
        data: data(stale),
        counters: vec![Counter {
            state: Stands::Blocked,
            services: open.len(),
        }],
        blocked: open,
        more,
        rest: (0..more).map(|_| HOSTILE.to_owned()).collect(),
    }
}

/// Renders a page and looks for what the policy would stop, and for outside text that got out of its place.
fn html(template: &str, page: &impl Serialize) -> String {
    let html = render(template, page).unwrap_or_else(|error| panic!("{template}: {error:#}"));
    let values = regex::Regex::new("=\"[^\"]*\"").unwrap();
    let bare = values.replace_all(&html, "=''");
    let inside = regex::Regex::new(r"<[a-z][^<>]*\s(?:style|on[a-z]+)\s*=").unwrap();
    assert!(
        !inside.is_match(&bare),
        "{template}: inline style or handler"
    );
    let scripts = regex::Regex::new(r"<script[^>]*>([^<]*)</script>").unwrap();
    for script in scripts.captures_iter(&html) {
        assert_eq!(&script[1], "", "{template}: inline script");
    }
    assert_eq!(html.matches("<script").count(), 1, "{template}");
    assert!(!html.contains("<img src=x"), "{template}");
    assert!(!html.contains("href=\"http://"), "{template}");
    html
}

#[test]
fn outside_text_stays_text_on_every_page() {
    html("release.html", &full_release(HOSTILE));
    html("service.html", &full_service(HOSTILE));
    html("fanout.html", &fan_out(HOSTILE, 3, false));
    html("wall.html", &wall_of(vec![open(HOSTILE)], 2, false));
}

#[test]
fn a_release_shows_every_state_in_a_word() {
    let page = html("release.html", &full_release("chart"));
    for state in Stands::ALL {
        let word = state.glyph().word;
        assert!(
            page.contains(&format!("{} {word}", state.glyph().icon)),
            "{word}"
        );
    }
    assert!(page.contains("(gate: a person)"));
    assert!(page.contains("starts it within 10 min"));
    assert!(page.contains("href=\"/g/chart/chart\""));
}

#[test]
fn a_release_without_anything_says_so_and_old_news_is_called_old() {
    let page = html("release.html", &bare_release(false));
    assert!(page.contains("no longer configured"));
    assert!(page.contains("Its runs were deleted with age"));
    assert!(page.contains("no incident of this release was told"));
    let page = html("release.html", &bare_release(true));
    assert!(page.contains("nothing was heard for a while"));
    assert!(page.contains("What is green may be red by now"));
}

#[test]
fn a_service_without_anything_says_so() {
    let page = html("service.html", &bare_service(false));
    assert!(page.contains("Nothing of it was seen to run"));
    assert!(!page.contains("<h2>Jobs") && !page.contains("by week"));
    assert!(page.contains("nobody would be told"));
    assert!(html("service.html", &bare_service(true)).contains("nothing was heard for a while"));
    let page = html("service.html", &full_service("s3"));
    assert!(page.contains("first try 75 %"));
    assert!(page.contains("25 % passed, n=4"));
    assert!(page.contains("rel=\"next\""));
}

#[test]
fn a_fan_out_of_77_services_lists_those_in_trouble_and_stays_small() {
    let page = html("fanout.html", &fan_out("s3", 77, false));
    assert_eq!(page.matches("<details id=\"stage-").count(), 6);
    assert!(page.contains("<b>77</b>"));
    assert!(page.contains("aria-current=\"page\">last 24h"));
    assert!(page.len() < 300_000, "{}", page.len());
    assert!(html("fanout.html", &fan_out("s3", 0, true)).contains("No release of s3 was seen"));
}

#[test]
fn the_wall_refreshes_itself_without_script_and_has_nothing_to_click() {
    let page = html("wall.html", &wall_of(vec![open("s3")], 4, false));
    assert!(page.contains("<noscript><meta http-equiv=\"refresh\" content=\"15\"></noscript>"));
    assert!(page.contains("and 4 more"));
    let main = page.split("<main").nth(1).unwrap();
    let main = main.split("</main>").next().unwrap();
    assert!(!main.contains("<a ") && !main.contains("<button"));
    assert!(html("wall.html", &wall_of(Vec::new(), 0, false)).contains("No release is blocked"));
    assert!(html("wall.html", &wall_of(Vec::new(), 0, true)).contains("this may be old news"));
}

#[test]
fn equal_releases_are_drawn_byte_by_byte_alike() {
    let page = full_release("chart");
    assert_eq!(html("release.html", &page), html("release.html", &page));
    let svg = html("release.html", &page);
    let edge = svg
        .lines()
        .find(|line| line.contains("class=\"edge gate"))
        .unwrap();
    let shape = regex::Regex::new(r"\d+").unwrap().replace_all(edge, "N");
    insta::assert_snapshot!(shape, @r#"<g class="edge gate bold"><path d="MN NCN N N N N N"/><path class="head" d="MN NLN NLN NZ"/><text x="N" y="N">gate</text></g>"#);
}
