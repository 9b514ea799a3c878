//! Where the rooms of a network stand in a drawing. A network is drawn as trees that grow to the right: each room stands
//! right of the one that it was first reached from, on rows of its own branch, so that lines between neighbouring columns
//! cross no room. A Tube that is no branch runs between rooms of one column or of two neighbouring ones, since rooms are
//! taken nearest first. Pure; it must not know how it is drawn.

use std::collections::VecDeque;

use sameroom_engine::NetworkMap;

/// A network, laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Where each room stands, in the order of the map's rooms.
    pub spots: Vec<Spot>,
    /// How many columns there are.
    pub columns: usize,
    /// How many half rows there are.
    pub height: usize,
    /// Each Tube with the place of its rooms, the one further left or above first, in the order of the map's Tubes.
    /// Tubes whose rooms are not on the map are left out.
    pub lines: Vec<Line>,
}

/// Where a room stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spot {
    /// From the left, from 0.
    pub column: usize,
    /// From the top, in half rows: a room stands midway between its first and its last branch.
    pub row: usize,
    /// The room that it was first reached from; `None`: a tree begins here.
    pub parent: Option<usize>,
}

/// A Tube in a drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which Tube of the map.
    pub tube: usize,
    /// The room further left or above.
    pub from: usize,
    /// The other.
    pub to: usize,
    /// Whether it is a branch of the tree.
    pub branch: bool,
}

/// Lays a network out. The first room of each tree is the one with the lowest number: the one that asked.
pub fn layout(map: &NetworkMap) -> Layout {
    let n = map.rooms.len();
    let tubes: Vec<(usize, usize, usize)> = (map.tubes.iter().enumerate())
        .filter(|(_, tube)| tube.a < n && tube.b < n && tube.a != tube.b)
        .map(|(i, tube)| (i, tube.a, tube.b))
        .collect();
    let mut near: Vec<Vec<usize>> = vec![Vec::new(); n];
    for (_, a, b) in &tubes {
        near[*a].push(*b);
        near[*b].push(*a);
    }
    for near in &mut near {
        near.sort_unstable();
    }
    let mut laid = Layout { spots: vec![Spot::default(); n], ..Layout::default() };
    let mut seen = vec![false; n];
    for root in 0..n {
        if !seen[root] {
            let tree = grow(root, &near, &mut seen, &mut laid.spots);
            place(&tree, &mut laid);
        }
    }
    laid.columns = laid.spots.iter().map(|spot| spot.column + 1).max().unwrap_or(0);
    for (tube, a, b) in tubes {
        let (from, to) = if order(&laid.spots[a], a) <= order(&laid.spots[b], b) { (a, b) } else { (b, a) };
        let branch = laid.spots[to].parent == Some(from);
        laid.lines.push(Line { tube, from, to, branch });
    }
    laid
}

fn order(spot: &Spot, n: usize) -> (usize, usize, usize) {
    (spot.column, spot.row, n)
}

/// The rooms of a tree, nearest first, each with its column and parent.
fn grow(root: usize, near: &[Vec<usize>], seen: &mut [bool], spots: &mut [Spot]) -> Vec<usize> {
    let mut tree = Vec::new();
    let mut queue = VecDeque::from([root]);
    seen[root] = true;
    while let Some(at) = queue.pop_front() {
        tree.push(at);
        for next in &near[at] {
            if !seen[*next] {
                seen[*next] = true;
                spots[*next] = Spot { column: spots[at].column + 1, row: 0, parent: Some(at) };
                queue.push_back(*next);
            }
        }
    }
    tree
}

/// Gives each leaf of a tree a row of its own, in order, and each other room the middle of its branches.
fn place(tree: &[usize], laid: &mut Layout) {
    let Some(root) = tree.first() else { return };
    let mut branches: Vec<Vec<usize>> = vec![Vec::new(); laid.spots.len()];
    for at in tree {
        if let Some(parent) = laid.spots[*at].parent {
            branches[parent].push(*at);
        }
    }
    // Depth first, without recursion: a network may be one long chain.
    let mut stack = vec![*root];
    let mut leaves = Vec::new();
    while let Some(at) = stack.pop() {
        if branches[at].is_empty() {
            leaves.push(at);
        }
        stack.extend(branches[at].iter().rev());
    }
    for leaf in leaves {
        laid.spots[leaf].row = laid.height;
        laid.height += 2;
    }
    // Furthest first: branches stand before the room that they grow from.
    for at in tree.iter().rev() {
        if let (Some(first), Some(last)) = (branches[*at].first(), branches[*at].last()) {
            laid.spots[*at].row = usize::midpoint(laid.spots[*first].row, laid.spots[*last].row);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashSet;

    use sameroom_engine::{Flow, MapRoom, MapTube};
    use sameroom_model::TubeState;

    use super::*;

    pub(crate) fn map(names: &[&str], tubes: &[(usize, usize)]) -> NetworkMap {
        let room = |(n, name): (usize, &&str)| MapRoom {
            n,
            name: (*name).to_owned(),
            site: "irc.example".to_owned(),
            platform: "IRC".to_owned(),
            mine: false,
        };
        let tube = |(a, b): &(usize, usize)| MapTube { a: *a, b: *b, state: TubeState::Open, flow: Flow::Both };
        NetworkMap {
            rooms: names.iter().enumerate().map(room).collect(),
            tubes: tubes.iter().map(tube).collect(),
            more: false,
        }
    }

    #[test]
    fn a_star_grows_to_the_right() {
        let laid = layout(&map(&["hub", "a", "b", "c"], &[(1, 0), (0, 2), (3, 0)]));
        let at: Vec<_> = laid.spots.iter().map(|spot| (spot.column, spot.row)).collect();
        assert_eq!(at, [(0, 2), (1, 0), (1, 2), (1, 4)]);
        assert!(laid.lines.iter().all(|line| line.from == 0 && line.branch));
    }

    #[test]
    fn any_network_is_laid_out_without_two_rooms_in_one_spot() {
        let mut seed = 7_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for rooms in 1..=100 {
            let names = vec!["x"; rooms];
            let tubes: Vec<_> = (0..rooms + rooms / 3).map(|_| (random(rooms), random(rooms))).collect();
            let laid = layout(&map(&names, &tubes));
            let spots: HashSet<_> = laid.spots.iter().map(|spot| (spot.column, spot.row)).collect();
            assert_eq!(spots.len(), rooms, "{tubes:?}");
            for line in laid.lines {
                let columns = [line.from, line.to].map(|room| laid.spots[room].column);
                assert!(columns[1] - columns[0] <= 1, "a line over a column of rooms");
            }
        }
    }
}
