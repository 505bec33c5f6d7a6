//! Where the boxes of a graph stand and how its edges run. Boxes stand in layers from left to right, by the longest
//! path to them; within a layer they are ordered by the middle of their neighbours. An edge over several layers gets
//! a lane of its own in each, so that none runs behind a box that it has nothing to do with. All in whole pixels:
//! equal input gives equal output.

use std::collections::{BTreeMap, BTreeSet};

/// What one box takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Pixels.
    pub width: i64,
    /// Pixels.
    pub height: i64,
}

/// A point, from the upper left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// To the right.
    pub x: i64,
    /// Down.
    pub y: i64,
}

/// A finished layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// What all of it takes.
    pub size: Size,
    /// Upper left corners of the boxes.
    pub boxes: Vec<Point>,
    /// Each edge as an even number of points: from the first of a pair to the second it runs as a curve between two
    /// layers, from there to the next pair straight through a lane. Empty for an edge that closes a circle.
    pub edges: Vec<Vec<Point>>,
}

/// Between layers.
const GAP_X: i64 = 36;
/// Between the boxes of a layer.
const GAP_Y: i64 = 22;
/// What a lane takes.
const LANE: i64 = 10;
/// Around everything.
const MARGIN: i64 = 6;
/// More change next to nothing.
const SWEEPS: usize = 8;

/// Lays out so many boxes of one size.
pub(super) fn layout(boxes: usize, edges: &[(usize, usize)], size: Size) -> Layout {
    let layers = layers(boxes, edges);
    let mut grid = Grid::new(&layers, edges);
    grid.order();
    let middles = grid.middles(size);
    let x_of = |layer: usize| MARGIN + index(layer) * (size.width + GAP_X);
    let middle = |slot: usize| middles.get(slot).copied().unwrap_or_default();
    let top = (0..grid.slots.len()).map(|slot| middle(slot) - grid.height(slot, size) / 2);
    let up = top.min().unwrap_or(0) - MARGIN;
    let down = (0..grid.slots.len()).map(|slot| middle(slot) + grid.height(slot, size) / 2);
    let columns = layers.iter().max().map_or(0, |last| last + 1);
    let edges = edges
        .iter()
        .map(|edge| {
            let Some(path) = grid.paths.get(edge) else {
                return Vec::new();
            };
            let right_and_left = path.windows(2).flat_map(|pair| match pair {
                [from, to] => vec![
                    Point {
                        x: x_of(grid.layer(*from)) + size.width,
                        y: middle(*from) - up,
                    },
                    Point {
                        x: x_of(grid.layer(*to)),
                        y: middle(*to) - up,
                    },
                ],
                _ => Vec::new(),
            });
            right_and_left.collect()
        })
        .collect();
    Layout {
        size: Size {
            width: (x_of(columns) - GAP_X + MARGIN).max(2 * MARGIN),
            height: down.max().unwrap_or(up) - up + MARGIN,
        },
        boxes: (0..boxes)
            .map(|slot| Point {
                x: x_of(grid.layer(slot)),
                y: middle(slot) - size.height / 2 - up,
            })
            .collect(),
        edges,
    }
}

fn index(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The layer of each box: one behind the last that it follows. Edges that close a circle do not count.
fn layers(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut layers: BTreeMap<usize, usize> = BTreeMap::new();
    while layers.len() < boxes {
        let mut rest = (0..boxes).filter(|one| !layers.contains_key(one));
        let first = rest.clone().next();
        let follows = |one: usize| edges.iter().filter(move |(_, to)| *to == one);
        let ready = rest.find(|one| follows(*one).all(|(from, _)| layers.contains_key(from)));
        let Some(next) = ready.or(first) else {
            break;
        };
        let before = follows(next).filter_map(|(from, _)| layers.get(from)).max();
        let layer = before.map_or(0, |last| last + 1);
        layers.insert(next, layer);
    }
    layers.into_values().collect()
}

/// Boxes and lanes by layer. The first slots are the boxes.
struct Grid {
    boxes: usize,
    /// The layer of each slot.
    slots: Vec<usize>,
    /// Slots by layer, in order from above.
    rows: Vec<Vec<usize>>,
    /// From slot to slot of the next layer.
    links: BTreeSet<(usize, usize)>,
    /// The slots that each edge runs through, its ends included.
    paths: BTreeMap<(usize, usize), Vec<usize>>,
}

impl Grid {
    fn new(layers: &[usize], edges: &[(usize, usize)]) -> Self {
        let mut grid = Self {
            boxes: layers.len(),
            slots: layers.to_vec(),
            rows: vec![Vec::new(); layers.iter().max().map_or(0, |last| last + 1)],
            links: BTreeSet::new(),
            paths: BTreeMap::new(),
        };
        // Edges from one box share their lanes.
        let mut lanes: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for &(from, to) in edges {
            let (Some(&first), Some(&last)) = (layers.get(from), layers.get(to)) else {
                continue;
            };
            if first >= last {
                continue;
            }
            let mut path = vec![from];
            for layer in first + 1..last {
                let next = grid.slots.len();
                let lane = *lanes.entry((from, layer)).or_insert(next);
                if lane == next {
                    grid.slots.push(layer);
                }
                path.push(lane);
            }
            path.push(to);
            let pairs = path.windows(2).filter_map(|pair| match pair {
                [from, to] => Some((*from, *to)),
                _ => None,
            });
            grid.links.extend(pairs);
            grid.paths.insert((from, to), path);
        }
        for (slot, layer) in grid.slots.iter().enumerate() {
            if let Some(row) = grid.rows.get_mut(*layer) {
                row.push(slot);
            }
        }
        grid
    }

    fn layer(&self, slot: usize) -> usize {
        self.slots.get(slot).copied().unwrap_or_default()
    }

    fn height(&self, slot: usize, size: Size) -> i64 {
        if slot < self.boxes { size.height } else { LANE }
    }

    /// Those linked to a slot from the left, or to the right.
    fn neighbours(&self, slot: usize, from_left: bool) -> Vec<usize> {
        let side = |&(from, to): &(usize, usize)| match from_left {
            true if to == slot => Some(from),
            false if from == slot => Some(to),
            _ => None,
        };
        self.links.iter().filter_map(side).collect()
    }

    /// Sweeps to and fro, and keeps the order with the fewest crossings.
    fn order(&mut self) {
        let mut best = (self.crossings(), self.rows.clone());
        for sweep in 0..SWEEPS {
            let from_left = sweep % 2 == 0;
            let mut layers: Vec<usize> = (0..self.rows.len()).collect();
            if !from_left {
                layers.reverse();
            }
            for layer in layers {
                let places = self.places();
                let row = self.rows.get(layer).cloned().unwrap_or_default();
                let mut keyed: Vec<(i64, i64, usize)> = row
                    .into_iter()
                    .map(|slot| {
                        let own = places.get(&slot).copied().unwrap_or_default();
                        let near = self.neighbours(slot, from_left);
                        let at = near.iter().filter_map(|one| places.get(one).copied());
                        (
                            mean(at.map(|place| place * 1000)).unwrap_or(own * 1000),
                            own,
                            slot,
                        )
                    })
                    .collect();
                keyed.sort_unstable();
                if let Some(row) = self.rows.get_mut(layer) {
                    *row = keyed.into_iter().map(|(_, _, slot)| slot).collect();
                }
            }
            let crossings = self.crossings();
            if crossings < best.0 {
                best = (crossings, self.rows.clone());
            }
        }
        self.rows = best.1;
    }

    /// The place of each slot in its layer.
    fn places(&self) -> BTreeMap<usize, i64> {
        let rows = self.rows.iter();
        rows.flat_map(|row| {
            row.iter()
                .enumerate()
                .map(|(place, slot)| (*slot, index(place)))
        })
        .collect()
    }

    fn crossings(&self) -> usize {
        let places = self.places();
        let place = |slot: &usize| places.get(slot).copied().unwrap_or_default();
        let mut by_layer: BTreeMap<usize, Vec<(i64, i64)>> = BTreeMap::new();
        for (from, to) in &self.links {
            let ends = (place(from), place(to));
            by_layer.entry(self.layer(*from)).or_default().push(ends);
        }
        by_layer
            .values()
            .flat_map(|links| links.iter().map(move |one| (one, links)))
            .map(|(one, links)| {
                links
                    .iter()
                    .filter(|other| one.0 < other.0 && one.1 > other.1)
                    .count()
            })
            .sum()
    }

    /// The middle of each slot: as close to its neighbours as those above and below let it.
    fn middles(&self, size: Size) -> Vec<i64> {
        let mut middles = vec![0; self.slots.len()];
        for sweep in 0..=SWEEPS {
            let from_left = sweep % 2 == 0;
            let mut rows: Vec<&Vec<usize>> = self.rows.iter().collect();
            if !from_left {
                rows.reverse();
            }
            for row in rows {
                let wanted: Vec<i64> = row
                    .iter()
                    .map(|slot| {
                        let near = self.neighbours(*slot, from_left);
                        let at = near.iter().filter_map(|one| middles.get(*one).copied());
                        let own = middles.get(*slot).copied().unwrap_or_default();
                        mean(at).unwrap_or(own)
                    })
                    .collect();
                let heights: Vec<i64> = row.iter().map(|slot| self.height(*slot, size)).collect();
                for (slot, at) in row.iter().zip(spread(&wanted, &heights)) {
                    if let Some(middle) = middles.get_mut(*slot) {
                        *middle = at;
                    }
                }
            }
        }
        middles
    }
}

fn mean(values: impl Iterator<Item = i64>) -> Option<i64> {
    let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| i64::div_euclid(sum, count))
}

/// The middles that are closest to those wanted and leave everything its height and a gap: what would overlap is
/// moved as one block to its mean.
fn spread(wanted: &[i64], heights: &[i64]) -> Vec<i64> {
    let mut offsets = Vec::with_capacity(wanted.len());
    let mut offset = 0;
    for (place, height) in heights.iter().enumerate() {
        if let Some(above) = place.checked_sub(1).and_then(|above| heights.get(above)) {
            offset += (above + height) / 2 + GAP_Y;
        }
        offsets.push(offset);
    }
    // Blocks as sum and number of what their members want of the first.
    let mut blocks: Vec<(i64, i64)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(&offsets) {
        let mut block = (wanted - offset, 1);
        while let Some(above) = blocks.pop_if(|above| above.0 * block.1 > block.0 * above.1) {
            block = (above.0 + block.0, above.1 + block.1);
        }
        blocks.push(block);
    }
    let firsts = blocks.iter().flat_map(|(sum, count)| {
        let first = i64::div_euclid(*sum, *count);
        (0..*count).map(move |_| first)
    });
    firsts
        .zip(offsets)
        .map(|(first, offset)| first + offset)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size {
        width: 180,
        height: 72,
    };

    /// Points along an edge, as it is drawn.
    fn along(path: &[Point]) -> Vec<(f64, f64)> {
        let float = |value: i64| f64::from(i32::try_from(value).unwrap());
        let mut points = Vec::new();
        for (place, pair) in path.windows(2).enumerate() {
            let (from, to) = (pair[0], pair[1]);
            let middle = float(from.x + to.x) / 2.0;
            for step in 0..=40 {
                let t = f64::from(step) / 40.0;
                let u = 1.0 - t;
                let (x, y) = if place % 2 == 0 {
                    let bend = |a: f64, b: f64, c: f64, d: f64| {
                        u * u * u * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t * t * t * d
                    };
                    (
                        bend(float(from.x), middle, middle, float(to.x)),
                        bend(float(from.y), float(from.y), float(to.y), float(to.y)),
                    )
                } else {
                    (
                        u * float(from.x) + t * float(to.x),
                        u * float(from.y) + t * float(to.y),
                    )
                };
                points.push((x, y));
            }
        }
        points
    }

    fn is_in(at: Point, point: (f64, f64)) -> bool {
        let float = |value: i64| f64::from(i32::try_from(value).unwrap());
        let (left, top) = (float(at.x) - 1.0, float(at.y) - 1.0);
        let (right, bottom) = (
            left + float(SIZE.width) + 2.0,
            top + float(SIZE.height) + 2.0,
        );
        (left..=right).contains(&point.0) && (top..=bottom).contains(&point.1)
    }

    fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
        (2_usize..36).prop_flat_map(|boxes| {
            let edge = (0..boxes, 0..boxes)
                .prop_filter_map("one way", |(a, b)| (a != b).then_some((a.min(b), a.max(b))));
            let edges = proptest::collection::btree_set(edge, 0..boxes * 2);
            edges.prop_map(move |edges| (boxes, edges.into_iter().collect()))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn no_edge_runs_behind_a_box_it_has_nothing_to_do_with((boxes, edges) in graphs()) {
            let drawn = layout(boxes, &edges, SIZE);
            prop_assert_eq!(drawn.boxes.len(), boxes);
            for ((from, to), path) in edges.iter().zip(&drawn.edges) {
                prop_assert!(path.len() >= 2 && path.len() % 2 == 0);
                for point in along(path) {
                    for (other, place) in drawn.boxes.iter().enumerate() {
                        prop_assert!(
                            other == *from || other == *to || !is_in(*place, point),
                            "{from} to {to} behind {other} at {point:?}"
                        );
                    }
                }
                prop_assert!(drawn.boxes[*from].x < drawn.boxes[*to].x);
            }
        }

        #[test]
        fn boxes_stand_apart_and_inside((boxes, edges) in graphs()) {
            let drawn = layout(boxes, &edges, SIZE);
            for (one, a) in drawn.boxes.iter().enumerate() {
                prop_assert!(a.x >= 0 && a.y >= 0);
                prop_assert!(a.x + SIZE.width <= drawn.size.width);
                prop_assert!(a.y + SIZE.height <= drawn.size.height);
                for b in drawn.boxes.iter().skip(one + 1) {
                    let apart = (a.x - b.x).abs() >= SIZE.width || (a.y - b.y).abs() >= SIZE.height + GAP_Y;
                    prop_assert!(apart, "{a:?} {b:?}");
                }
            }
        }

        #[test]
        fn equal_graphs_look_equal((boxes, edges) in graphs()) {
            prop_assert_eq!(layout(boxes, &edges, SIZE), layout(boxes, &edges, SIZE));
        }
    }

    #[test]
    fn a_chain_is_straight_and_a_shortcut_goes_around() {
        let drawn = layout(3, &[(0, 1), (1, 2), (0, 2)], SIZE);
        let tops: Vec<i64> = drawn.boxes.iter().map(|place| place.y).collect();
        assert!(tops[0].abs_diff(tops[2]) < 60, "{tops:?}");
        assert_eq!(drawn.edges[2].len(), 4);
        let lane = drawn.edges[2][1].y;
        assert!(lane < tops[1] || lane > tops[1] + SIZE.height);
    }

    #[test]
    fn a_circle_loses_an_edge_and_nothing_an_empty_graph() {
        let drawn = layout(2, &[(0, 1), (1, 0)], SIZE);
        assert_eq!(drawn.edges.iter().filter(|edge| edge.is_empty()).count(), 1);
        assert!(layout(0, &[], SIZE).boxes.is_empty());
    }
}
