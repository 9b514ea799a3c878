//! A network as a drawing: rooms as boxes with their names, Tubes as lines with their state and which way they carry.
//! It stands by itself: no script, no reference to anything, colours for light and dark. Every word in it was escaped.

use std::fmt::Write as _;

use sameroom_engine::{Flow, MapRoom, NetworkMap};
use sameroom_model::TubeState;
use sameroom_text::names;

use super::layout::{Layout, Line, layout};

/// A room's box, and the space between columns and rows, in pixels.
const WIDTH: usize = 220;
const HEIGHT: usize = 52;
const GAP: usize = 130;
const ROW: usize = 70;
/// Around the drawing.
const MARGIN: usize = 16;
/// The longest name in a box, in graphemes.
const NAME_MAX: usize = 24;
/// The longest second line.
const SITE_MAX: usize = 32;

/// The drawing's own style.
pub(super) const STYLE: &str = "svg{color-scheme:light dark}text{font:600 14px system-ui,sans-serif;fill:#1c1c1f}\
text.site{font-weight:400;font-size:12px;fill:#56565c}text.note{font-weight:400;font-size:11px;fill:#56565c;\
text-anchor:middle}rect{fill:#fff;stroke:#8a8a92;stroke-width:1.5}rect.here{fill:#e8f1ff;stroke:#1f6feb;\
stroke-width:3}path{fill:none;stroke:#56565c;stroke-width:1.5}path.paused{stroke-dasharray:7 5}\
path.broken{stroke:#b3261e;stroke-dasharray:2 4}path.tip{fill:#56565c;stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#f0f0f2}text.site,text.note{fill:#b4b4bc}rect{fill:#242428;\
stroke:#77777f}rect.here{fill:#16304f;stroke:#6cb0ff}path{stroke:#b4b4bc}path.broken{stroke:#ff8a80}\
path.tip{fill:#b4b4bc}}";

/// Draws a network; `here`: the room to be marked.
pub fn svg(map: &NetworkMap, here: Option<usize>) -> String {
    let laid = layout(map);
    let width = laid.columns * (WIDTH + GAP) + 2 * MARGIN;
    let height = laid.height.div_ceil(2).max(1) * ROW + 2 * MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{}\"><style>{STYLE}</style>",
        escape(&super::summary(map))
    );
    for line in &laid.lines {
        draw_line(&mut out, map, &laid, line);
    }
    for (n, room) in map.rooms.iter().enumerate() {
        draw_room(&mut out, &laid, n, room, here == Some(n));
    }
    out.push_str("</svg>");
    out
}

/// The same words where they can't be markup.
pub(crate) fn escape(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // What XML cannot carry at all.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

fn draw_room(out: &mut String, laid: &Layout, n: usize, room: &MapRoom, here: bool) {
    let (x, y) = corner(laid, n);
    let class = if here { " class=\"here\"" } else { "" };
    let whole = escape(&super::place(room));
    let name = escape(&short(&room.name, NAME_MAX));
    let second =
        if room.platform.is_empty() { room.site.clone() } else { format!("{} · {}", room.platform, room.site) };
    let second = escape(&short(&second, SITE_MAX));
    // Writing to a string can't fail.
    let _ = write!(
        out,
        "<g><title>{whole}</title><rect{class} x=\"{x}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\
         <text x=\"{}\" y=\"{}\">{name}</text><text class=\"site\" x=\"{}\" y=\"{}\">{second}</text></g>",
        x + 12,
        y + 22,
        x + 12,
        y + 41
    );
}

fn draw_line(out: &mut String, map: &NetworkMap, laid: &Layout, line: &Line) {
    let tube = &map.tubes[line.tube];
    let class = match tube.state {
        TubeState::Open => "open",
        TubeState::Paused => "paused",
        TubeState::Broken => "broken",
    };
    let ((ax, ay), (bx, by)) = (corner(laid, line.from), corner(laid, line.to));
    let (ax, ay, by) = (ax + WIDTH, ay + HEIGHT / 2, by + HEIGHT / 2);
    let beside = laid.spots[line.from].column == laid.spots[line.to].column;
    // Between two columns the line runs through the gap; within one it bows out into the gap and comes back.
    let (bx, bend) = if beside { (bx + WIDTH, bx + WIDTH + GAP / 2) } else { (bx, ax + GAP / 2) };
    let _ = write!(out, "<path class=\"{class}\" d=\"M{ax} {ay}C{bend} {ay} {bend} {by} {bx} {by}\"/>");
    let forward = if line.from == tube.a { Flow::AToB } else { Flow::BToA };
    if tube.flow == Flow::Both || tube.flow == forward {
        tip(out, bx, by, !beside);
    }
    if tube.flow == Flow::Both || (tube.flow != forward && tube.flow != Flow::Neither) {
        tip(out, ax, ay, false);
    }
    let note = super::note(tube);
    if !note.is_empty() {
        let x = if beside { bend } else { usize::midpoint(ax, bx) };
        let _ = write!(out, "<text class=\"note\" x=\"{x}\" y=\"{}\">{note}</text>", usize::midpoint(ay, by) - 5);
    }
}

/// The tip of an arrow at the edge of a room's box; `right`: it points to the right.
fn tip(out: &mut String, x: usize, y: usize, right: bool) {
    let back = if right { x - 9 } else { x + 9 };
    let _ = write!(out, "<path class=\"tip\" d=\"M{x} {y}L{back} {}L{back} {}Z\"/>", y - 5, y + 5);
}

fn corner(laid: &Layout, n: usize) -> (usize, usize) {
    let spot = laid.spots[n];
    (MARGIN + spot.column * (WIDTH + GAP), MARGIN + spot.row * ROW / 2 + (ROW - HEIGHT) / 2)
}

fn short(words: &str, max: usize) -> String {
    let whole = names::clean(words, usize::MAX);
    let cut = names::clean(words, max);
    if cut.len() == whole.len() { whole } else { format!("{}…", names::clean(words, max - 1)) }
}

#[cfg(test)]
mod tests {
    use super::super::layout::tests::map;
    use super::*;

    #[test]
    fn t9_names_cannot_become_markup() {
        let evil = "</text><script>alert(1)</script>\"'&\u{0}";
        let drawn = svg(&map(&[evil, "b"], &[(0, 1)]), Some(0));
        assert!(!drawn.contains("<script") && drawn.contains("&lt;/text&gt;&lt;"), "{drawn}");
        assert!(!drawn.contains('\0') && !drawn.contains(" style="));
        assert_eq!(drawn.matches("class=\"here\"").count(), 1);
    }

    #[test]
    fn which_way_a_tube_carries_is_shown_by_its_tips() {
        let tips = |flow: Flow| {
            let mut map = map(&["a", "b"], &[(1, 0)]);
            map.tubes[0].flow = flow;
            svg(&map, None).matches("class=\"tip\"").count()
        };
        assert_eq!([Flow::Both, Flow::AToB, Flow::BToA, Flow::Neither].map(tips), [2, 1, 1, 0]);
    }
}
