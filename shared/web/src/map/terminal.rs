//! A network as a tree of text, for a terminal. No line is wider than asked for, and nothing in a room's name can move
//! the cursor or forge a line.

use sameroom_engine::{Flow, MapTube, NetworkMap};
use sameroom_text::names;

use super::layout::{Layout, layout};

/// The narrowest drawing.
const WIDTH_MIN: usize = 20;

/// Draws a network as lines of at most `width` characters; each line ends with `\n`. Tubes that are no branches of the
/// tree are listed below it.
pub fn terminal(map: &NetworkMap, width: usize) -> String {
    let width = width.max(WIDTH_MIN);
    let laid = layout(map);
    let mut out = String::new();
    let mut push = |line: &str| {
        out.push_str(fit(line, width).trim_end());
        out.push('\n');
    };
    for root in (0..map.rooms.len()).filter(|n| laid.spots[*n].parent.is_none()) {
        // Each with the lines that run down before it, and whether it is its parent's last.
        let mut stack = vec![(root, String::new(), String::new())];
        while let Some((at, before, below)) = stack.pop() {
            push(&format!("{before}{}", label(map, &laid, at)));
            let mut branches: Vec<usize> = (0..map.rooms.len()).filter(|n| laid.spots[*n].parent == Some(at)).collect();
            branches.sort_by_key(|n| laid.spots[*n].row);
            for (i, branch) in branches.iter().enumerate().rev() {
                let last = i + 1 == branches.len();
                let (turn, down) = if last { ("└─", "   ") } else { ("├─", "│  ") };
                stack.push((*branch, format!("{below}{turn} "), format!("{below}{down}")));
            }
        }
    }
    let others: Vec<_> = laid.lines.iter().filter(|line| !line.branch).collect();
    if !others.is_empty() {
        push("also:");
    }
    for line in others {
        let tube = &map.tubes[line.tube];
        let name = |n: usize| names::clean(&map.rooms[n].name, 32);
        push(&format!("  {} {} {}{}", name(line.from), arrow(tube, line.from), name(line.to), bracketed(tube)));
    }
    if map.more {
        push("… and more rooms than are shown");
    }
    out
}

/// A room with the arrow of the Tube that leads to it.
fn label(map: &NetworkMap, laid: &Layout, at: usize) -> String {
    let room = &map.rooms[at];
    let place = super::place(room);
    let mine = if room.mine { " *" } else { "" };
    let branch = laid.lines.iter().find(|line| line.branch && line.to == at);
    match branch.map(|line| (&map.tubes[line.tube], line.from)) {
        Some((tube, from)) => format!("{} {place}{mine}{}", arrow(tube, from), bracketed(tube)),
        None => format!("{place}{mine}"),
    }
}

fn arrow(tube: &MapTube, from: usize) -> &'static str {
    match (tube.flow, tube.a == from) {
        (Flow::Both, _) => "⇄",
        (Flow::AToB, true) | (Flow::BToA, false) => "→",
        (Flow::AToB, false) | (Flow::BToA, true) => "←",
        (Flow::Neither, _) => "×",
    }
}

fn bracketed(tube: &MapTube) -> String {
    let note = super::note(tube);
    let drawn = note.is_empty() || note == super::ONE_WAY;
    if drawn { String::new() } else { format!(" [{note}]") }
}

/// A line cut to a width, counted in characters.
fn fit(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(width - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use sameroom_model::TubeState;

    use super::super::layout::tests::map;
    use super::*;

    #[test]
    fn a_network_is_drawn_as_a_tree() {
        let mut map = map(&["#hub", "#a", "#b", "#deep\n\u{1b}[31m", "#alone"], &[(0, 1), (2, 0), (1, 3), (2, 3)]);
        map.tubes[1].flow = Flow::AToB;
        map.tubes[2].state = TubeState::Paused;
        map.rooms[0].mine = true;
        let drawn = terminal(&map, 60);
        assert_eq!(
            drawn,
            "#hub on irc.example *\n\
             ├─ ⇄ #a on irc.example\n\
             │  └─ ⇄ #deep [31m on irc.example [paused]\n\
             └─ ← #b on irc.example\n\
             #alone on irc.example\n\
             also:\n  #deep [31m ⇄ #b\n"
                .replace("#deep [31m ⇄ #b", "#b ⇄ #deep [31m")
        );
        assert!(terminal(&map, 24).lines().all(|line| line.chars().count() <= 24));
    }

    #[test]
    fn a_chain_of_a_hundred_rooms_is_drawn() {
        let names = vec!["x"; 100];
        let tubes: Vec<_> = (1..100).map(|n| (n - 1, n)).collect();
        assert_eq!(terminal(&map(&names, &tubes), 80).lines().count(), 100);
    }
}
