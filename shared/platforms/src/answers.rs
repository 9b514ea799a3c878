//! What HTTP answers say alike on every platform. Must not know any platform: each judges statuses by its own table.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;
use sameroom_model::Timestamp;

/// How long `Retry-After` asks to wait, in seconds or until an HTTP date (RFC 9110, section 10.2.3). A date that has
/// passed means no wait; what is neither is ignored. The engine keeps the result within its bounds.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit in 64 bits are still a long wait.
        return Some(Duration::from_secs(said.parse().unwrap_or(u64::MAX)));
    }
    let until = DateTimeParser::new().parse_timestamp(said).ok()?;
    Some(Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
        retry_after(&headers, Timestamp::from_second(784_111_777).unwrap()).map(|wait| wait.as_secs())
    }

    #[test]
    fn f17_retry_after_is_read_as_it_is_said_and_garbage_is_ignored() {
        assert_eq!(said("30"), Some(30));
        assert_eq!(said(" 0 "), Some(0));
        assert_eq!(said("1000000000"), Some(1_000_000_000));
        assert_eq!(said("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(said("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        assert_eq!(said("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for garbage in ["", "-5", "+5", "1.5", "soon", "30 s", "Sun, 99 Nov 1994 08:49:37 GMT", "0x10"] {
            assert_eq!(said(garbage), None, "{garbage:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Timestamp::UNIX_EPOCH), None);
    }
}
