//! One question to a platform on behalf of an account, beside deliveries: rooms listed, names looked up, a room entered.
//! Secrets that have ended are renewed on the way, once. It must not know what is asked.

use std::sync::Arc;

use bytes::Bytes;
use sameroom_model::{Opened, Outcome, Timestamp};
use sameroom_platforms::Platform;

use crate::Engine;
use crate::accounts::Open;
use crate::attempt::no_answer;
use crate::ports::Unavailable;

impl Engine {
    /// Asks and reads the answer. `Ok(None)`: the platform has no such question.
    pub(crate) async fn ask<T>(
        &self,
        open: &mut Arc<Open>,
        question: impl Fn(&dyn Platform, &Opened) -> Option<http::Request<Bytes>>,
        answer: impl Fn(&dyn Platform, &Opened, &http::Response<Bytes>, Timestamp) -> Result<T, Outcome>,
    ) -> Result<Option<Result<T, Outcome>>, Unavailable> {
        if question(open.platform, &open.opened).is_none() {
            return Ok(None);
        }
        *open = self.fresh(open).await?;
        let mut renewed = false;
        loop {
            let Some(request) = question(open.platform, &open.opened) else { return Ok(None) };
            let response = match self.inner.wire.http(&open.opened.account, request).await {
                Ok(response) => response,
                Err(e) => return Ok(Some(Err(no_answer(e)))),
            };
            match answer(open.platform, &open.opened, &response, self.inner.clock.now()) {
                Err(outcome @ Outcome::Disconnected { .. }) if !renewed => match self.renew(open, outcome).await? {
                    Ok(again) => (*open, renewed) = (again, true),
                    Err(outcome) => return Ok(Some(Err(outcome))),
                },
                answer => return Ok(Some(answer)),
            }
        }
    }
}
