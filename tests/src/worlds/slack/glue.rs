//! A world of Slack in a town: on its clock, so that signatures are as old as the engine thinks. The only file here that
//! knows a town.

use super::Slack;
use crate::worlds::Town;

impl Town {
    /// A world of Slack on this town's clock.
    pub async fn slack_world(&self) -> Slack {
        let clock = self.clock.clone();
        Slack::at(move || clock.now().as_microsecond()).await
    }
}
