//! A graph of stages as a picture: boxes with a few lines of text, and edges between them. Text keeps its size; what
//! is wide scrolls. The same stands as a list beside it, for whoever does not look at pictures.

mod layout;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde::Serialize;
use utoipa::ToSchema;

use self::layout::{Point, Size};
use super::glyph::State;

/// From so many boxes on, those that stand for the same place are drawn as one.
pub const MOST_BOXES: usize = 30;
/// Fewer that stand for the same place are drawn one by one.
const FEWEST_TO_JOIN: usize = 3;
/// Tenths of a pixel that a character of the name, of the state, and of the note takes, in a wide font.
const CHARACTER: [i64; 3] = [85, 75, 70];
/// Narrower looks torn.
const NARROWEST: i64 = 140;
/// Characters of a line; what is longer is cut and stands whole in the list.
const LINE: usize = 28;
/// Left and right of the text.
const PADDING: i64 = 20;
/// Enough for three lines.
const HEIGHT: i64 = 74;

/// What a box says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its first line.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// What follows the word of its state: ` · 3 runs`.
    pub beside: String,
    /// Its last line.
    pub note: String,
    /// Where it leads.
    pub link: Option<String>,
    /// Whether all waits for it in the end.
    pub critical: bool,
}

/// What an edge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EdgeKind {
    /// One starts the other.
    Starts,
    /// One needs what the other made; something else starts it.
    Needs,
    /// A person stands between them.
    Gate,
}

/// From one box to another, by their places in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The earlier one.
    pub from: usize,
    /// The later one.
    pub to: usize,
    /// What it is.
    pub kind: EdgeKind,
    /// Whether it is part of the way that takes longest.
    pub critical: bool,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Graph {
    /// Pixels.
    pub width: i64,
    /// Pixels.
    pub height: i64,
    /// Its boxes, in the order of the configuration.
    pub boxes: Vec<Drawn>,
    /// Its edges.
    pub edges: Vec<DrawnEdge>,
}

/// A box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Drawn {
    /// Left edge.
    pub x: i64,
    /// Upper edge.
    pub y: i64,
    /// Pixels.
    pub width: i64,
    /// Pixels.
    pub height: i64,
    /// The stage's name, whole.
    pub name: String,
    /// The same, or as much as has room.
    pub shown: String,
    /// How it stands.
    pub state: State,
    /// What follows the word of its state.
    pub beside: String,
    /// Its last line.
    pub note: String,
    /// Where it leads.
    pub link: Option<String>,
    /// Whether all waits for it in the end.
    pub critical: bool,
    /// How many stages it stands for.
    pub stages: usize,
}

/// An edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DrawnEdge {
    /// As SVG wants it.
    pub path: String,
    /// What it is.
    pub kind: EdgeKind,
    /// Whether it is part of the way that takes longest.
    pub critical: bool,
    /// The middle of its last bend, for a word about it.
    pub label_x: i64,
    /// See [`Self::label_x`].
    pub label_y: i64,
    /// Where it ends.
    pub end_x: i64,
    /// See [`Self::end_x`].
    pub end_y: i64,
}

/// Draws boxes and edges.
pub fn draw(contents: Vec<Content>, edges: &[Edge]) -> Graph {
    let (contents, edges) = if contents.len() > MOST_BOXES {
        join(contents, edges)
    } else {
        let alone = contents.into_iter().map(|content| (content, 1)).collect();
        (alone, edges.to_vec())
    };
    let size = Size {
        width: width(&contents),
        height: HEIGHT,
    };
    let ends: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layout::layout(contents.len(), &ends, size);
    let boxes = contents
        .into_iter()
        .zip(&layout.boxes)
        .map(|((content, stages), at)| drawn(content, stages, *at, size))
        .collect();
    let mut lines: Vec<DrawnEdge> = edges
        .iter()
        .zip(&layout.edges)
        .filter_map(|(edge, points)| line(edge, points))
        .collect();
    // The bold ones last, above the others.
    lines.sort_by_key(|line| line.critical);
    Graph {
        width: layout.size.width,
        height: layout.size.height,
        boxes,
        edges: lines,
    }
}

fn drawn(content: Content, stages: usize, at: Point, size: Size) -> Drawn {
    Drawn {
        x: at.x,
        y: at.y,
        width: size.width,
        height: size.height,
        shown: cut(&content.name),
        name: content.name,
        state: content.state,
        beside: content.beside,
        note: cut(&content.note),
        link: content.link,
        critical: content.critical,
        stages,
    }
}

fn line(edge: &Edge, points: &[Point]) -> Option<DrawnEdge> {
    let (pairs, _) = points.as_chunks::<2>();
    let [from, to] = pairs.last()?;
    Some(DrawnEdge {
        path: path(points),
        kind: edge.kind,
        critical: edge.critical,
        label_x: i64::midpoint(from.x, to.x),
        label_y: i64::midpoint(from.y, to.y) - 6,
        end_x: to.x,
        end_y: to.y,
    })
}

/// Bends between layers, straight through lanes.
fn path(points: &[Point]) -> String {
    let mut path = String::new();
    let (pairs, _) = points.as_chunks::<2>();
    for (place, [from, to]) in pairs.iter().enumerate() {
        let begin = if place == 0 { 'M' } else { 'L' };
        let middle = i64::midpoint(from.x, to.x);
        write!(
            path,
            "{begin}{} {}C{middle} {} {middle} {} {} {}",
            from.x, from.y, from.y, to.y, to.x, to.y
        )
        .expect("writing to a string cannot fail");
    }
    path
}

fn width(contents: &[(Content, usize)]) -> i64 {
    let lines = contents.iter().flat_map(|(content, _)| {
        // Icon and space.
        let state = 2 + content.state.glyph().word.chars().count();
        let lengths = [
            content.name.chars().count().min(LINE),
            state + content.beside.chars().count(),
            content.note.chars().count().min(LINE),
        ];
        let pixels = |(length, each): (usize, i64)| i64::try_from(length).unwrap_or(0) * each / 10;
        lengths.into_iter().zip(CHARACTER).map(pixels)
    });
    lines.max().unwrap_or(0).max(NARROWEST) + PADDING
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LINE {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LINE - 1).collect();
    short.push('…');
    short
}

/// Boxes with the same neighbours, as one with their number.
fn join(contents: Vec<Content>, edges: &[Edge]) -> (Vec<(Content, usize)>, Vec<Edge>) {
    type Place = (BTreeSet<usize>, BTreeSet<usize>);
    let mut groups: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
    for one in 0..contents.len() {
        let before = edges.iter().filter(|edge| edge.to == one);
        let behind = edges.iter().filter(|edge| edge.from == one);
        let place = (
            before.map(|edge| edge.from).collect(),
            behind.map(|edge| edge.to).collect(),
        );
        groups.entry(place).or_default().push(one);
    }
    let is_joined = |members: &Vec<usize>| members.len() >= FEWEST_TO_JOIN;
    // Each to the first of its group.
    let mut head: Vec<usize> = (0..contents.len()).collect();
    for members in groups.values().filter(|members| is_joined(members)) {
        for member in members {
            if let (Some(head), Some(first)) = (head.get_mut(*member), members.first()) {
                *head = *first;
            }
        }
    }
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut gathered: Vec<Vec<Content>> = Vec::new();
    for (content, head) in contents.into_iter().zip(&head) {
        let next = gathered.len();
        let place = *places.entry(*head).or_insert(next);
        match gathered.get_mut(place) {
            Some(group) => group.push(content),
            None => gathered.push(vec![content]),
        }
    }
    let place = |one: usize| head.get(one).and_then(|head| places.get(head)).copied();
    let mut ends: BTreeMap<(usize, usize), Edge> = BTreeMap::new();
    for edge in edges {
        if let (Some(from), Some(to)) = (place(edge.from), place(edge.to)) {
            let known = ends.entry((from, to)).or_insert(Edge { from, to, ..*edge });
            known.critical |= edge.critical;
        }
    }
    let joined = gathered.into_iter().filter_map(sum_up).collect();
    (joined, ends.into_values().collect())
}

/// Several as one: the most urgent state, and how many of them stand so.
fn sum_up(group: Vec<Content>) -> Option<(Content, usize)> {
    let count = group.len();
    let worst = group.iter().map(|content| content.state).min()?;
    let alike = group
        .iter()
        .filter(|content| content.state == worst)
        .count();
    let critical = group.iter().any(|content| content.critical);
    let first = group.into_iter().next()?;
    if count == 1 {
        return Some((first, 1));
    }
    let content = Content {
        name: format!("{} +{}", first.name, count - 1),
        state: worst,
        beside: format!(" · {alike} of {count}"),
        note: "listed one by one below".to_owned(),
        link: None,
        critical,
    };
    Some((content, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(name: &str, state: State) -> Content {
        Content {
            name: name.to_owned(),
            state,
            beside: String::new(),
            note: String::new(),
            link: None,
            critical: false,
        }
    }

    fn edge(from: usize, to: usize) -> Edge {
        Edge {
            from,
            to,
            kind: EdgeKind::Starts,
            critical: false,
        }
    }

    #[test]
    fn every_box_and_edge_is_drawn_and_twice_the_same() {
        let contents = [
            "tag",
            "publish",
            "a-name-much-too-long-for-any-box-there-is",
        ]
        .map(|name| content(name, State::Planned));
        let edges = [edge(0, 1), edge(1, 2), edge(0, 2)];
        let drawn = draw(contents.to_vec(), &edges);
        assert_eq!((drawn.boxes.len(), drawn.edges.len()), (3, 3));
        assert_eq!(drawn, draw(contents.to_vec(), &edges));
        let last = &drawn.boxes[2];
        assert_eq!(last.shown, "a-name-much-too-long-for-an…");
        assert!(last.width >= i64::try_from(last.shown.chars().count()).unwrap() * 8);
    }

    #[test]
    fn siblings_of_a_large_graph_are_one_box_with_their_worst_state() {
        let mut contents = vec![content("tag", State::Healthy)];
        let mut edges = Vec::new();
        for number in 1..=40 {
            let state = if number == 7 {
                State::Blocked
            } else {
                State::Healthy
            };
            contents.push(content(&format!("build-{number}"), state));
            edges.push(edge(0, number));
            edges.push(edge(number, 41));
        }
        contents.push(content("index", State::Planned));
        let drawn = draw(contents, &edges);
        let names: Vec<(&str, usize, State)> = drawn
            .boxes
            .iter()
            .map(|one| (one.name.as_str(), one.stages, one.state))
            .collect();
        assert_eq!(
            names,
            [
                ("tag", 1, State::Healthy),
                ("build-1 +39", 40, State::Blocked),
                ("index", 1, State::Planned),
            ]
        );
        assert_eq!(drawn.boxes[1].beside, " · 1 of 40");
        assert_eq!(drawn.edges.len(), 2);
    }
}
