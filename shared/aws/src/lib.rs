//! The ports of Sameroom's engine on AWS: [`AwsStore`], rows in one DynamoDB table and queues in SQS; [`KmsVault`], which
//! seals under a KMS key; [`Emf`], counts as CloudWatch metrics; and [`work`], which does what a Lambda's batch asks.
//!
//! What a program's role must be allowed: on the table `dynamodb:GetItem`, `Query`, `PutItem`, `DeleteItem` and
//! `BatchWriteItem` (transactions need no more); on queues that it sends to `sqs:SendMessage`; on one that it works on
//! `sqs:ReceiveMessage`, `DeleteMessage`, `ChangeMessageVisibility` and `GetQueueAttributes`; on the key
//! `kms:GenerateDataKey` and `kms:Decrypt`. [`Clients::warm`] also asks for `sqs:GetQueueAttributes` of the outbox and
//! `kms:DescribeKey`, and does its work where they are denied.
//!
//! A job that waits is received again and again, and each time counts against a queue's `maxReceiveCount`: a queue of this
//! store needs none, since the engine keeps what can't be worked on by itself.
//!
//! This crate must not know what a Tube, an event or a delivery is: it keeps bytes, by the promises of
//! [`sameroom_engine::ports`]. What SQS can't promise is said at [`AwsStore`].

mod calls;
mod chance;
mod clients;
mod clock;
mod emf;
mod http;
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
