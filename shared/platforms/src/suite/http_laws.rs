//! The laws of requests, in and out.

use super::*;
use crate::Turn;

/// What the writers put into mass mentions, so that they call nobody.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

pub(crate) fn fixtures_decode(fixture: &Fixture) {
    let Some(inbound) = &fixture.inbound else { return };
    for (name, body) in &inbound.bodies {
        let request = (inbound.request)(&fixture.account, body, now());
        let webhook = fixture.platform.receive(&fixture.account, &request, now());
        let webhook = webhook.unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut shown = format!("{}\n", webhook.reply.status());
        shown += &String::from_utf8_lossy(webhook.reply.body());
        for event in &webhook.events {
            assert_eq!(event.room.account, fixture.account.account.id);
            shown += "\n";
            shown += &serde_json::to_string_pretty(event).unwrap();
        }
        snapshot(fixture, &format!("decode_{name}"), &shown);
    }
}

pub(crate) fn flipped_bytes_are_refused(fixture: &Fixture) {
    let Some((inbound, proof)) = proven(fixture) else { return };
    let refused = |what: &str, request: &Request<Bytes>| {
        let answer = fixture.platform.receive(&fixture.account, request, now());
        assert_eq!(answer.err(), Some(Rejected::Unauthorized), "{what}");
    };
    for (name, body) in &inbound.bodies {
        let request = || (inbound.request)(&fixture.account, body, now());
        for at in 0..body.len() {
            for bit in [0x01, 0x20, 0x80] {
                let mut request = request();
                let mut body = body.to_vec();
                body[at] ^= bit;
                *request.body_mut() = body.into();
                refused(&format!("{name}: bit {bit:#x} of byte {at}"), &request);
            }
        }
        for cut in 0..body.len() {
            let mut request = request();
            *request.body_mut() = body.slice(..cut);
            refused(&format!("{name}: cut at {cut}"), &request);
        }
        for header in proof.headers {
            let mut missing = request();
            let value = missing.headers_mut().remove(*header).expect(header);
            refused(&format!("{name}: without {header}"), &missing);
            for at in 0..value.len() {
                for bit in [0x01, 0x02, 0x20] {
                    let mut value = value.as_bytes().to_vec();
                    value[at] ^= bit;
                    let Ok(value) = http::HeaderValue::from_bytes(&value) else { continue };
                    let mut request = request();
                    request.headers_mut().insert(*header, value);
                    refused(&format!("{name}: bit {bit:#x} of byte {at} of {header}"), &request);
                }
            }
        }
        // An account without a secret, or with an empty one, accepts nothing.
        let names: Vec<_> = fixture.account.secrets.expose().map(|(name, _)| name.to_owned()).collect();
        for secrets in [Secrets::default(), names.iter().map(|name| (name.as_str(), "")).collect()] {
            let account = Opened { account: fixture.account.account.clone(), secrets };
            assert_eq!(fixture.platform.receive(&account, &request(), now()).err(), Some(Rejected::Unauthorized));
        }
    }
}

pub(crate) fn old_and_early_requests_are_refused(fixture: &Fixture) {
    let Some((inbound, Proof { window: Some(window), .. })) = proven(fixture) else { return };
    let second = SignedDuration::from_secs(1);
    for (name, body) in &inbound.bodies {
        let request = (inbound.request)(&fixture.account, body, now());
        let at = |when| fixture.platform.receive(&fixture.account, &request, when).map(|_| ());
        assert_eq!(at(now() + *window), Ok(()), "{name}: just in time");
        assert_eq!(at(now() - *window), Ok(()), "{name}: a little early");
        assert_eq!(at(now() + *window + second), Err(Rejected::Unauthorized), "{name}: old");
        assert_eq!(at(now() - *window - second), Err(Rejected::Unauthorized), "{name}: early");
        assert_eq!(at(Timestamp::MAX), Err(Rejected::Unauthorized), "{name}: ancient");
        assert_eq!(at(Timestamp::MIN), Err(Rejected::Unauthorized), "{name}: unborn");
    }
}

pub(crate) fn arbitrary_requests_never_panic(fixture: &Fixture) {
    let headers = fixture.inbound.iter().flat_map(|inbound| &inbound.proof).flat_map(|proof| proof.headers);
    let headers: Vec<_> = headers.copied().collect();
    let values = proptest::collection::vec("\\PC{0,40}|[0-9]{1,20}|v1,.{0,50}", headers.len());
    check(256, &(any::<Vec<u8>>(), values, "/[!-~]{0,60}"), |(body, values, path)| {
        let mut request = Request::new(Bytes::from(body.clone()));
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        for (name, value) in headers.iter().zip(values) {
            if let Ok(value) = value.parse() {
                request.headers_mut().insert(*name, value);
            }
        }
        let _ = fixture.platform.receive(&fixture.account, &request, now());
        if let Some(inbound) = &fixture.inbound {
            let request = (inbound.request)(&fixture.account, &body, now());
            let _ = fixture.platform.receive(&fixture.account, &request, now());
        }
    });
}

pub(crate) fn f43_mangled_fixtures_never_panic(fixture: &Fixture) {
    let Some(inbound) = &fixture.inbound else { return };
    let receive = |body: &[u8]| {
        let request = (inbound.request)(&fixture.account, body, now());
        match fixture.platform.receive(&fixture.account, &request, now()) {
            Ok(webhook) => assert!(webhook.reply.status().is_success()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    };
    let deep = "[".repeat(100_000);
    let odd = [
        "null",
        "true",
        "-1",
        "1e400",
        "18446744073709551616",
        "\"\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "[]",
        "[null]",
        "{}",
        &deep,
    ];
    for (_, body) in &inbound.bodies {
        for cut in 0..body.len() {
            receive(&body[..cut]);
            let mut doubled = body.to_vec();
            doubled.insert(cut, body[cut]);
            receive(&doubled);
        }
        // Every value of a JSON body, replaced by an odd one.
        let Ok(whole) = serde_json::from_slice::<serde_json::Value>(body) else { continue };
        let mut places = Vec::new();
        pointers(&whole, "", &mut places);
        for place in places {
            let mut marked = whole.clone();
            *marked.pointer_mut(&place).unwrap() = "MARK".into();
            for odd in odd {
                receive(marked.to_string().replace("\"MARK\"", odd).as_bytes());
            }
        }
    }
    receive(deep.as_bytes());
    receive("{\"a\":".repeat(100_000).as_bytes());
}

pub(crate) fn the_same_payload_is_the_same_event(fixture: &Fixture) {
    let Some(inbound) = &fixture.inbound else { return };
    let ids = |body: &Bytes, when| {
        let request = (inbound.request)(&fixture.account, body, when);
        let webhook = fixture.platform.receive(&fixture.account, &request, when).unwrap();
        webhook.events.into_iter().map(|event| event.id).collect::<Vec<_>>()
    };
    for (name, body) in &inbound.bodies {
        let first = ids(body, now());
        assert!(first.iter().all(|id| !id.as_str().is_empty()), "{name}: ids are not empty");
        assert_eq!(first, ids(body, now() + SignedDuration::from_mins(6)), "{name}: a retry is the same event");
    }
}

pub(crate) fn deliveries_render(fixture: &Fixture) {
    if fixture.outbound.is_none() {
        return;
    }
    for (name, delivery) in deliveries(fixture) {
        let shown = match fixture.platform.render(&fixture.account, &delivery, now()) {
            Ok(requests) => requests.iter().map(show).collect::<Vec<_>>().join("\n\n"),
            Err(outcome) => format!("{outcome:?}"),
        };
        snapshot(fixture, &format!("render_{name}"), &shown);
    }
}

pub(crate) fn rendering_is_the_same_at_every_attempt(fixture: &Fixture) {
    if fixture.outbound.is_none() {
        return;
    }
    for (name, delivery) in deliveries(fixture) {
        let render = || {
            let requests = fixture.platform.render(&fixture.account, &delivery, now());
            requests.map(|requests| requests.iter().map(show).collect::<Vec<_>>())
        };
        assert_eq!(render(), render(), "{name}");
    }
}

pub(crate) fn f39_no_request_exceeds_the_limits(fixture: &Fixture) {
    let Some(outbound) = &fixture.outbound else { return };
    let limit = fixture.platform.about().capabilities.text;
    let bodies = prop_oneof![texts(limit.max), sameroom_text::arbitrary::text()];
    check(2 * cases(limit.max), &(bodies, 0..3), |(body, action)| {
        let action = match action {
            0 => Action::Post { body, emote: false, attachments: Vec::new(), reply: None },
            1 => Action::Edit { body, emote: true },
            _ => Action::Notice { body },
        };
        let delivery = delivery(fixture, "dlv_long", action);
        for request in fixture.platform.render(&fixture.account, &delivery, now()).unwrap_or_default() {
            let counted = (outbound.counted)(&request).map_or(0, |text| limit.measure(&text));
            assert!(counted <= limit.max, "{counted} of at most {}", limit.max);
        }
    });
}

pub(crate) fn splitting_loses_no_character(fixture: &Fixture) {
    let Some(outbound) = &fixture.outbound else { return };
    let limit = fixture.platform.about().capabilities.text;
    let visible =
        |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != ZERO_WIDTH_SPACE).collect::<String>();
    check(cases(limit.max), &texts(limit.max), |body| {
        let whole = visible(&body.words());
        let delivery = delivery(fixture, "dlv_long", Action::Notice { body });
        let requests = fixture.platform.render(&fixture.account, &delivery, now()).unwrap_or_default();
        let parts: String = requests.iter().map(outbound.words).collect();
        assert_eq!(visible(&parts), whole);
    });
}

pub(crate) fn f16_429_with_retry_after_is_a_retry(fixture: &Fixture) {
    if fixture.platform.about().capabilities.carrier != Carrier::Http {
        return;
    }
    for (name, delivery) in deliveries(fixture) {
        let response = Response::builder().status(429).header("retry-after", "30").body(Bytes::new()).unwrap();
        match fixture.platform.settle(&fixture.account, &delivery, 0, "", &response, now()) {
            Turn::Over(Outcome::Retry { after, .. }) => {
                assert_eq!(after, Some(std::time::Duration::from_secs(30)), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

pub(crate) fn settling_never_panics(fixture: &Fixture) {
    if fixture.platform.about().capabilities.carrier != Carrier::Http {
        return;
    }
    let deliveries = deliveries(fixture);
    let cases = (100_u16..1000, any::<Vec<u8>>(), "[ -~]{0,40}", 0_usize..4, "\\PC{0,20}");
    check(256, &cases, |(status, body, wait, part, memo)| {
        let response = Response::builder().status(status).header("retry-after", wait).body(Bytes::from(body)).unwrap();
        for (_, delivery) in &deliveries {
            let _ = fixture.platform.settle(&fixture.account, delivery, part, &memo, &response, now());
        }
    });
}

fn proven(fixture: &Fixture) -> Option<(&Inbound, &Proof)> {
    let inbound = fixture.inbound.as_ref()?;
    Some((inbound, inbound.proof.as_ref()?))
}

/// Fewer cases where texts are long: splitting them is slow without optimisation.
fn cases(max: usize) -> u32 {
    (200_000 / max.max(1)).clamp(12, 128) as u32
}

/// Texts of up to about twice a limit, most of them short.
fn texts(max: usize) -> impl Strategy<Value = Text> {
    let words = proptest::collection::vec("\\PC{1,12}", 1..12);
    (words, prop_oneof![2 => Just(1), 1 => 0..=max * 2], 0_usize..5).prop_map(|(words, length, shape)| {
        let words = words.join(" ");
        let times = (length / words.chars().count()).max(1);
        let text = Inline::Text(format!("{words} ").repeat(times).trim().to_owned());
        let block = match shape {
            0 => Block::Paragraph(vec![Inline::Strong(vec![text])]),
            1 => Block::Quote(vec![Block::Paragraph(vec![text])]),
            _ => Block::Paragraph(vec![text]),
        };
        Text { blocks: vec![block] }
    })
}

fn pointers(value: &serde_json::Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), out));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), out));
        }
        _ => {}
    }
}

/// A request as people read it.
fn show(request: &Request<Bytes>) -> String {
    let mut shown = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        shown += name.as_str();
        shown += ": ";
        shown += value.to_str().unwrap();
        shown += "\n";
    }
    let body = String::from_utf8_lossy(request.body());
    match serde_json::from_str::<serde_json::Value>(&body) {
        Ok(json) => shown + &serde_json::to_string_pretty(&json).unwrap(),
        Err(_) => shown + &body,
    }
}
