//! The ports of Sameroom's engine on AWS: [`AwsStore`], rows in one DynamoDB table and queues in SQS; [`KmsVault`], which
//! seals under a KMS key; [`Emf`], counts as CloudWatch metrics; and [`work`], which does what a Lambda's batch asks.
//!
//! This crate must not know what a Tube, an event or a delivery is: it keeps bytes, by the promises of
//! [`sameroom_engine::ports`]. What SQS can't promise is said at [`AwsStore`].

mod calls;
mod chance;
mod clients;
mod clock;
mod emf;
mod jobs;
mod rows;
mod settings;
mod store;
#[cfg(test)]
mod testing;
mod trouble;
mod vault;
mod work;

pub use calls::Calls;
pub use clients::Clients;
pub use clock::SystemClock;
pub use emf::Emf;
pub use jobs::Record;
pub use settings::{Settings, SettingsError};
pub use store::AwsStore;
pub use vault::KmsVault;
pub use work::work;
