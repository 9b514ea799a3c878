//! `GET /portals/{token}` (and `/p/{token}`): what a Portal leads to, for whoever was given its URL, and how to come
//! through. Looking changes nothing. It must not know who looks.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use sameroom_engine::{Invitation, problem};
use sameroom_model::Direction;
use sameroom_text::names;

use crate::map::escape;
use crate::{App, page};

/// The page around what is said.
const PAGE: &str = include_str!("pages/portal.html");
/// Where it goes.
const WORDS: &str = "<!--WORDS-->";
/// The longest name that is shown, in graphemes.
const NAME_MAX: usize = 80;

pub(crate) async fn show(State(app): State<App>, Path(token): Path<String>) -> Response {
    match app.engine.invitation(&token.clone().into()).await {
        Ok(Some(invitation)) => {
            let base = app.public_url();
            page::filled(&PAGE.replacen(WORDS, &words(&invitation, &format!("{base}/portals/{token}")), 1))
        }
        Ok(None) => {
            let detail = "This Portal is not valid any more. Ask whoever gave you its URL for a new one.";
            page::document(problem(StatusCode::NOT_FOUND, "not-found", detail))
        }
        Err(e) => page::document(problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", &e.why)),
    }
}

/// What joining means, and how it is done.
fn words(invitation: &Invitation, url: &str) -> String {
    let clean = |name: &str| escape(&names::clean(name, NAME_MAX));
    let (name, site, platform) = (clean(&invitation.name), clean(&invitation.site), clean(&invitation.platform));
    let readers = match invitation.readers {
        1 => "The people in that room read it.".to_owned(),
        n => format!("The people in {n} rooms read it: that one, and those that it is connected to."),
    };
    let way = match invitation.direction {
        Direction::Both => "What is written in one room appears in the other.",
        Direction::NotOut => "What is written in your room appears there; nothing comes back.",
        Direction::NotIn => "What is written there appears in your room; nothing goes there.",
    };
    let approval = if invitation.approval {
        "<li>Whoever made this Portal approves each room before anything crosses.</li>"
    } else {
        ""
    };
    let until = invitation.expires.map(|at| format!("<li>It can be used until {}.</li>", escape(&at.to_string())));
    let days = invitation.keeps.as_secs() / 86_400;
    format!(
        "<h1>{name}</h1><p class=\"where\">on {site} ({platform})</p>\
         <p>You were invited to connect a room of yours with this one. {way}</p>\
         <h2>What joining means</h2><ul><li>{readers}</li>\
         <li>Words are passed on and not kept. For {days} days it is kept which message is a copy of which, by ids, so \
         that edits and answers find it.</li>\
         <li>Files are copied where your platform takes them, else given as links.</li>\
         <li>Either side can end it at any time.</li>{approval}{}</ul>\
         <h2>How to join</h2><p>In a room that this Sameroom can read, type:</p>\
         <p><code>-sameroom connect {}</code></p>\
         <p>Or, with a key of your own: <code>sameroom portals use {} ROOM</code>.</p>",
        until.unwrap_or_default(),
        escape(url),
        escape(url),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn t9_a_page_says_what_joining_means_and_a_name_stays_a_name() {
        let invitation = Invitation {
            portal: "p".into(),
            name: "<script>alert(1)</script>".into(),
            site: "irc.example.org".into(),
            platform: "IRC".into(),
            direction: Direction::Both,
            readers: 3,
            approval: true,
            expires: None,
            keeps: Duration::from_hours(720),
        };
        let page = words(&invitation, "https://rooms.example.org/portals/x\"><b>");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        for said in ["in 3 rooms", "For 30 days", "approves each room", "-sameroom connect https://rooms.example.org"] {
            assert!(page.contains(said), "{said}");
        }
    }
}
