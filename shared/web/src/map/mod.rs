//! Maps of networks: `GET /maps/{token}`, a page that stands by itself, and `GET /maps/{token}.svg`, its drawing alone.
//! The token is what the command `map` gave, good for a day. The drawing and its form for a terminal are made here from
//! a [`NetworkMap`], and serve others, too.

mod layout;
mod svg;
mod terminal;

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sameroom_engine::{Flow, MapRoom, MapTube, NetworkMap, problem};
use sameroom_model::TubeState;
use sameroom_text::names;

use crate::{App, page};

pub use layout::{Layout, Line, Spot, layout};
pub use svg::svg;
pub use terminal::terminal;

/// The page around the drawing.
const PAGE: &str = include_str!("../pages/map.html");
/// Where it goes.
const DRAWING: &str = "<!--DRAWING-->";
/// Said of a Tube that carries one way.
const ONE_WAY: &str = "one way";

pub(crate) async fn chart(State(app): State<App>, Path(token): Path<String>) -> Response {
    let (token, alone) = match token.strip_suffix(".svg") {
        Some(token) => (token.to_owned(), true),
        None => (token, false),
    };
    match app.engine.chart(&token.into()).await {
        // The room that asked comes first.
        Ok(Some(map)) if alone => page::drawing(svg(&map, Some(0))),
        Ok(Some(map)) => page::filled(&html(&map)),
        Ok(None) => {
            let detail = "There is no such map, or its link is older than a day. Ask for a new one by -sameroom map.";
            page::document(problem(StatusCode::NOT_FOUND, "not-found", detail))
        }
        Err(e) => page::document(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &e.why)),
    }
}

/// The page of a network, its first room being the one that asked.
fn html(map: &NetworkMap) -> String {
    let mut inner = format!("<p>{}</p>", svg::escape(&summary(map)));
    inner.push_str("<div class=\"drawing\" tabindex=\"0\">");
    inner.push_str(&svg(map, Some(0)));
    inner.push_str("</div><ul>");
    for tube in map.tubes.iter().filter(|tube| tube.a < map.rooms.len() && tube.b < map.rooms.len()) {
        let (a, b) = match tube.flow {
            Flow::BToA => (tube.b, tube.a),
            _ => (tube.a, tube.b),
        };
        let word = match tube.flow {
            Flow::Both => "and",
            Flow::AToB | Flow::BToA => "to",
            Flow::Neither => "and, nothing crosses,",
        };
        let state = match tube.state {
            TubeState::Open => "",
            TubeState::Paused => " (paused)",
            TubeState::Broken => " (broken)",
        };
        let (a, b) = (svg::escape(&place(&map.rooms[a])), svg::escape(&place(&map.rooms[b])));
        inner.extend(["<li>", &a, " ", word, " ", &b, state, "</li>"]);
    }
    inner.push_str("</ul>");
    if map.more {
        inner.push_str("<p>The network has more rooms than are shown.</p>");
    }
    PAGE.replacen(DRAWING, &inner, 1)
}

/// What a map shows, in a sentence.
fn summary(map: &NetworkMap) -> String {
    let count = |n: usize, one: &str, many: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {many}") };
    let counts = format!("{} and {}", count(map.rooms.len(), "room", "rooms"), count(map.tubes.len(), "Tube", "Tubes"));
    match map.rooms.first() {
        Some(first) => format!("{counts}, as seen from {}.", place(first)),
        None => format!("{counts}."),
    }
}

/// A room as people know it.
fn place(room: &MapRoom) -> String {
    let (name, site) = (names::clean(&room.name, 64), names::clean(&room.site, 64));
    if site.is_empty() { name } else { format!("{name} on {site}") }
}

/// What is to be said of a Tube that does not simply carry both ways.
fn note(tube: &MapTube) -> &'static str {
    match (tube.state, tube.flow) {
        (TubeState::Paused, _) => "paused",
        (TubeState::Broken, _) => "broken",
        (TubeState::Open, Flow::Both) => "",
        (TubeState::Open, Flow::Neither) => "nothing crosses",
        (TubeState::Open, Flow::AToB | Flow::BToA) => ONE_WAY,
    }
}

#[cfg(test)]
mod tests {
    use super::layout::tests::map;
    use super::*;

    #[test]
    fn t24_the_page_has_no_script_and_every_style_is_named() {
        let page = html(&map(&["<script>", "b"], &[(0, 1)]));
        assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains("<style "));
        assert!(page.contains("<li>&lt;script&gt; on irc.example and b on irc.example</li>"), "{page}");
        assert!(page.contains("2 rooms and 1 Tube, as seen from &lt;script&gt; on irc.example."));
        let answer = page::filled(&page);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert_eq!(policy.matches("'sha256-").count(), 2, "{policy}");
        assert!(policy.contains("script-src 'none'"));
    }
}
