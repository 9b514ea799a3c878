//! The function that platforms call: it sees that a webhook is what it claims to be, makes its events durable, and answers.

use sameroom_functions::{Role, serve, start};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let started = start(Role::Inbound).await?;
    let router = sameroom_web::hooks_router(started.engine.clone());
    serve(router, std::sync::Arc::default(), started.engine, None).await
}
