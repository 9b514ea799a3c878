//! Jobs as messages of SQS FIFO queues.

/// A message as SQS gives it: to a Lambda function by its event, to a worker by a receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// SQS's name for it: the same each time it comes.
    pub message_id: String,
    /// To settle this receive by.
    pub receipt_handle: String,
    /// The attribute `MessageGroupId`.
    pub group: String,
    /// Its body.
    pub body: String,
    /// The attribute `ApproximateReceiveCount`: how often it has come, this time included.
    pub receive_count: u32,
    /// The attribute `SentTimestamp`: milliseconds since 1970.
    pub sent_at_ms: i64,
}
