//! `POST /hooks/{platform}/{account}[/…]`: a platform tells what happened. All judgement is the engine's.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::Uri;
use sameroom_engine::Engine;
use sameroom_model::AccountId;

use crate::{body, page};

/// What the path says.
#[derive(Debug)]
pub(crate) struct Target {
    platform: String,
    account: AccountId,
}

/// Takes in a webhook request.
pub(crate) async fn receive(
    State(engine): State<Engine>,
    Path(parts): Path<Vec<(String, String)>>,
    request: Request,
) -> Response {
    let Some(target) = target(parts) else {
        return page::document(sameroom_engine::problem(
            http::StatusCode::NOT_FOUND,
            "not-found",
            "A webhook's address is /hooks/PLATFORM/ACCOUNT.",
        ));
    };
    let (mut parts, incoming): (_, Body) = request.into_parts();
    let bytes = match body::read(incoming).await {
        Ok(bytes) => bytes,
        Err(trouble) => return page::document(trouble.response()),
    };
    parts.uri = below(&parts.uri);
    let request = http::Request::from_parts(parts, bytes);
    page::document(engine.receive(&target.platform, &target.account, request).await)
}

fn target(parts: Vec<(String, String)>) -> Option<Target> {
    let mut parts = parts.into_iter().map(|(_, value)| value);
    Some(Target { platform: parts.next()?, account: parts.next()?.into() })
}

/// What follows `/hooks/{platform}/{account}` in the path, with its query.
fn below(uri: &Uri) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let rest: String = path.splitn(5, '/').skip(4).collect();
    let query = if rest.is_empty() { uri.query().map(|query| format!("/?{query}")) } else { None };
    query.unwrap_or_else(|| format!("/{rest}")).parse().unwrap_or_else(|_| Uri::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn the_platform_sees_what_follows_its_account() {
        for (path, expected) in [
            ("/hooks/webhook/acc", "/"),
            ("/hooks/webhook/acc/", "/"),
            ("/hooks/local/local/TOKEN", "/TOKEN"),
            ("/hooks/x/a/transactions/5?user=%40b", "/transactions/5?user=%40b"),
        ] {
            assert_eq!(below(&path.parse().expect("a uri")).to_string(), expected, "{path}");
        }
    }
}
