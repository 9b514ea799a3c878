//! Counts calls to AWS by operation, each attempt for itself, and what their answers say was consumed: for tests of what
//! things cost. It must not change a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::ConsumedCapacity;

/// What was called. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Calls(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    calls: BTreeMap<String, u64>,
    read: f64,
    written: f64,
}

impl Calls {
    /// How often each operation was called, such as `DynamoDB.PutItem` or `SQS.SendMessageBatch`; retries count.
    pub fn by_operation(&self) -> BTreeMap<String, u64> {
        self.lock().calls.clone()
    }

    /// How often one operation was called.
    pub fn count(&self, operation: &str) -> u64 {
        self.lock().calls.get(operation).copied().unwrap_or_default()
    }

    /// Read and write units of DynamoDB, where answers told; see [`Settings::measure`](crate::Settings::measure). Answers
    /// that did not part them are counted as what the operation does.
    pub fn units(&self) -> (f64, f64) {
        let counts = self.lock();
        (counts.read, counts.written)
    }

    /// Begins anew.
    pub fn reset(&self) {
        *self.lock() = Counts::default();
    }

    pub(crate) fn read(&self, consumed: &[ConsumedCapacity]) {
        self.lock().read += total(consumed);
    }

    pub(crate) fn written(&self, consumed: &[ConsumedCapacity]) {
        self.lock().written += total(consumed);
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "calls"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _runtime: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        *self.lock().calls.entry(operation(target)).or_default() += 1;
        Ok(())
    }
}

/// The operation's name from the header that names it.
fn operation(target: &str) -> String {
    let (service, operation) = target.split_once('.').unwrap_or(("", target));
    let service = match service {
        "DynamoDB_20120810" => "DynamoDB",
        "AmazonSQS" => "SQS",
        "TrentService" => "KMS",
        other => other,
    };
    format!("{service}.{operation}")
}

fn total(consumed: &[ConsumedCapacity]) -> f64 {
    consumed.iter().filter_map(|consumed| consumed.capacity_units).sum()
}

#[cfg(test)]
mod tests {
    use super::operation;

    #[test]
    fn operations_are_named_by_service() {
        assert_eq!(operation("DynamoDB_20120810.GetItem"), "DynamoDB.GetItem");
        assert_eq!(operation("AmazonSQS.SendMessageBatch"), "SQS.SendMessageBatch");
        assert_eq!(operation("TrentService.Decrypt"), "KMS.Decrypt");
    }
}
