//! AWS errors as sentences for the operator: which operation, on what, what AWS said, and the cure where there is one.
//! It must not know what was to be done by the operation.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use sameroom_engine::ports::Unavailable;

/// One call: its name, and the resource that it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// The service and the operation.
    pub(crate) name: &'static str,
    /// The table, queue or key.
    pub(crate) on: &'a str,
}

impl Call<'_> {
    /// What a failed call means to the engine. Nothing that was sent is told.
    pub(crate) fn failed<E, R>(self, error: &SdkError<E, R>) -> Unavailable
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug,
    {
        let Call { name, on } = self;
        let why = match error {
            SdkError::ServiceError(service) => {
                let said = service.err();
                let code = said.code().unwrap_or("an error without a code");
                let message = said.message().unwrap_or_default();
                let cure = cure(code).map(|cure| format!("; {cure}")).unwrap_or_default();
                let message = if message.is_empty() { String::new() } else { format!(": {message}") };
                format!("{name} on {on} failed with {code}{message}{cure}")
            }
            SdkError::TimeoutError(_) => format!("{name} on {on} was not answered in time"),
            SdkError::DispatchFailure(failure) => {
                let chain = failure.as_connector_error().map(|error| chain(error)).unwrap_or_default();
                if failure.is_timeout() {
                    format!("{name} on {on} was not answered in time ({chain})")
                } else if chain.contains("credential") {
                    format!(
                        "{name} on {on} could not be signed ({chain}); give the function or task a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    )
                } else {
                    format!(
                        "{name} on {on} could not reach AWS ({chain}); check AWS_REGION, AWS_ENDPOINT_URL if it is set, and that the network lets requests out"
                    )
                }
            }
            SdkError::ResponseError(_) => {
                format!("{name} on {on} was answered by something that is no answer of AWS's")
            }
            other => format!("{name} on {on} could not be sent ({})", other.source().map(chain).unwrap_or_default()),
        };
        Unavailable::new(why)
    }
}

/// The code that the service answered with, if it answered.
pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Whether the service is busy rather than unwilling: the same call may go through in a moment.
pub(crate) fn is_busy(code: &str) -> bool {
    let code = code.rsplit(['#', '.']).next().unwrap_or(code);
    matches!(
        code,
        "TransactionConflict"
            | "TransactionConflictException"
            | "TransactionInProgressException"
            | "ThrottlingError"
            | "ThrottlingException"
            | "Throttling"
            | "RequestThrottled"
            | "RequestLimitExceeded"
            | "ProvisionedThroughputExceeded"
            | "ProvisionedThroughputExceededException"
            | "InternalServerError"
            | "InternalError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "KmsThrottled"
            | "KMS.ThrottlingException"
    )
}

fn cure(code: &str) -> Option<&'static str> {
    let code = code.rsplit('#').next().unwrap_or(code);
    Some(match code {
        "AccessDenied" | "AccessDeniedException" | "KMSAccessDeniedException" | "KmsAccessDenied" => {
            "give the role of this function or task that permission; the template does"
        }
        "ResourceNotFoundException" => "check SAMEROOM_TABLE and AWS_REGION: there is no such table",
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => {
            "check the queue's URL in the environment, and AWS_REGION: there is no such queue"
        }
        "NotFoundException" => "check SAMEROOM_KMS_KEY and AWS_REGION: there is no such key",
        "DisabledException" | "KMSInvalidStateException" => {
            "the KMS key is disabled or to be deleted: enable it, or cancel its deletion"
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "the credentials have expired: sign in anew, or start the program anew"
        }
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch" => {
            "the credentials are not valid here: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and this machine's clock"
        }
        "IncorrectKeyException" | "InvalidCiphertextException" => {
            "what is sealed was sealed under another KMS key: set SAMEROOM_KMS_KEY back to the one it was sealed under"
        }
        _ => return None,
    })
}

/// An error with its causes, each said once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    parts.join(": ")
}
