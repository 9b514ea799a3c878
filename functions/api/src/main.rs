//! The function that answers the JSON API, what comes back from signing in elsewhere, and the pages. It takes in webhooks
//! as well, so that one address is enough. Whoever may invoke it by AWS is the operator, and is given a key.

use std::time::Duration;

use lambda_http::{BoxFuture, Error};
use sameroom_engine::Engine;
use sameroom_functions::{Role, serve, start};
use sameroom_model::{Owner, Scope};
use sameroom_web::{LOCAL_ACCOUNT, Options, local_draft};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// How long a stream of events is kept that has nothing to tell: below the 29 s that an HTTP API waits for an answer.
const STREAM: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let engine = start(Role::Api).await?.engine;
    let options = Options { stream_for: Some(STREAM), watched_elsewhere: true, ..Options::default() };
    let base = options.base.clone();
    serve(sameroom_web::router_with(engine.clone(), options), base, engine, Some(answer)).await
}

/// `first-key`: a key for the operator that may do everything, told this once.
fn answer(engine: Engine, word: String) -> BoxFuture<'static, Result<Option<Value>, Error>> {
    Box::pin(async move {
        if word != "first-key" {
            return Ok(None);
        }
        let operator = Owner::OPERATOR.into();
        // So that rooms can be made that live here, as on one machine.
        engine.add_account_as(LOCAL_ACCOUNT.into(), &operator, &local_draft()).await?;
        let made = engine.add_key(&operator, "first key", &[Scope::Admin].into(), None).await?;
        Ok(made.map(|(key, token)| json!({ "id": key.id, "scopes": key.scopes, "token": token.expose_secret() })))
    })
}
