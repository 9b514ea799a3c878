//! Laws that hold for every route, asked of each one that the document lists: a new route is covered by being there.

use sameroom_model::Scope;
use serde_json::{Value, json};

use super::{World, hook_url};
use crate::api::document;

/// A route, with the names of things that there are in its path.
struct Route {
    method: String,
    path: String,
    url: String,
    scope: &'static str,
    body: bool,
}

/// Every route of the document, in a world where each thing that a path names is there, the operator's.
async fn all() -> (World, Vec<Route>) {
    let world = World::new().await;
    let (a, b) = (world.room("one").await, world.room("two").await);
    let tube = world.tube(&a, &b).await;
    let portal = world.admin("POST", "/portals", Some(json!({ "room": a, "approval": true }))).await.json();
    let (portal, url) = (portal["portal"]["id"].clone(), portal["url"].clone());
    let eve = world.stranger().await;
    let shed = world.hook(&eve, "shed").await;
    let token = url.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let accept = format!("/invitations/{token}/accept");
    let guest = world.ask(&eve, "POST", &accept, Some(json!({ "room": shed }))).await.json()["guest"]["id"].clone();
    let key = world.admin("POST", "/keys", Some(json!({ "name": "k", "scopes": ["read"] }))).await.json();
    let onboarding = world.admin("POST", "/accounts", Some(json!({ "platform": "webhook" }))).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let things = [
        ("/tubes/", tube),
        ("/portals/", text(&portal)),
        ("/rooms/", a),
        ("/keys/", text(&key["key"]["id"])),
        ("/onboardings/", text(&onboarding["id"])),
        ("/accounts/", "local".to_owned()),
        ("/owners/", "operator".to_owned()),
        ("/deliveries/", "nothing".to_owned()),
        ("/letters/", "nothing".to_owned()),
        ("/invitations/", token),
    ];
    let document = document::document();
    let routes = document::operations(&document).map(|(method, path, operation)| {
        let thing = things.iter().find(|(start, _)| path.starts_with(start)).map_or("", |(_, id)| id);
        let url = path.replace("{id}", thing).replace("{token}", thing).replace("{guest}", guest.as_str().unwrap());
        assert!(!url.contains('{'), "{path} names a thing that this test does not know");
        let named = operation["security"][0]["key"][0].as_str().map(ToOwned::to_owned);
        let scope = Scope::ALL.into_iter().find(|scope| Some(scope.as_str()) == named.as_deref());
        let scope = scope.unwrap_or_else(|| panic!("{method} {path} declares no scope")).as_str();
        Route { method, path: path.clone(), url, scope, body: operation.get("requestBody").is_some() }
    });
    let routes = routes.collect();
    (world, routes)
}

#[tokio::test]
async fn t22_without_a_key_nothing_is_told() {
    let (world, routes) = all().await;
    assert!(routes.len() > 45, "{}", routes.len());
    for route in &routes {
        let url = format!("/api/v1{}", route.url);
        for header in [None, Some("Bearer sr_x"), Some("Basic eDp5"), Some("Bearer"), Some("")] {
            let headers: Vec<_> = header.into_iter().map(|text| ("authorization", text.to_owned())).collect();
            let reply = world.send(&route.method, &url, &headers, None).await;
            reply.is_problem(401, "unauthorized");
            assert!(reply.header("www-authenticate").starts_with("Bearer realm="), "{reply:?}");
        }
        // A key in the address is no key.
        let reply = world.send(&route.method, &format!("{url}?key={}", world.admin), &[], None).await;
        reply.is_problem(401, "unauthorized");
    }
}

#[tokio::test]
async fn t22_each_scope_opens_what_it_holds_and_nothing_else() {
    let (world, routes) = all().await;
    for given in Scope::ALL {
        let key = world.key("operator", &[given]).await;
        let holds: Vec<&str> = given.implies().iter().map(|scope| scope.as_str()).chain([given.as_str()]).collect();
        for route in &routes {
            let may = holds.contains(&route.scope);
            if may && (route.method != "GET" || route.path == "/events") {
                continue; // What it may do the examples show.
            }
            let reply = world.ask(&key, &route.method, &route.url, None).await;
            if may {
                assert_ne!(reply.status.as_u16(), 403, "{} {}: {reply:?}", route.method, route.path);
            } else {
                reply.is_problem(403, "scope");
                assert!(reply.json()["detail"].as_str().unwrap().contains(&format!("`{}`", route.scope)));
                assert!(reply.header("www-authenticate").contains(&format!("scope=\"{}\"", route.scope)));
            }
        }
    }
}

#[tokio::test]
async fn t15_another_owners_things_are_not_there() {
    let (world, routes) = all().await;
    let eve = world.stranger().await;
    let shed = world.hook(&eve, "shed").await;
    for route in routes.iter().filter(|route| route.path.contains("{id}")) {
        // A body that would do, so that it is the id that is judged.
        let body = route.body.then(|| match route.path.as_str() {
            "/tubes/{id}/move" => json!({ "from": shed, "to": shed }),
            "/onboardings/{id}/answers" => json!({ "fields": {} }),
            "/owners/{id}/keys" => json!({ "name": "x", "scopes": ["admin"] }),
            _ => json!({}),
        });
        let reply = world.ask(&eve, &route.method, &route.url, body.clone()).await;
        reply.is_problem(404, "not-found");
        // And is answered as what never was.
        let missing = route.path.replace("{id}", "never").replace("{guest}", "never");
        let never = world.ask(&eve, &route.method, &missing, body).await;
        assert_eq!(never.json()["detail"], reply.json()["detail"], "{} {}", route.method, route.path);
    }
    // Nor can they be named in a body.
    let theirs = world.room("one").await;
    for (path, body) in [
        ("/tubes", json!({ "rooms": [theirs, shed] })),
        ("/portals", json!({ "room": theirs })),
        ("/rooms", json!({ "account": "local", "room": "one" })),
        ("/rooms", json!({ "url": "local:one" })),
        ("/accounts", json!({ "renew": "local" })),
        ("/lanes/resume", json!({ "id": "0000000000" })),
    ] {
        world.ask(&eve, "POST", path, Some(body)).await.is_problem(422, "invalid");
    }
    world.ask(&eve, "POST", "/owners", Some(json!({ "name": "x" }))).await.is_problem(403, "forbidden");
    assert_eq!(world.ask(&eve, "GET", "/owners", None).await.json()["items"].as_array().unwrap().len(), 1);
    for path in ["/tubes", "/portals", "/deliveries", "/letters", "/lanes"] {
        assert_eq!(world.ask(&eve, "GET", path, None).await.json(), json!({ "items": [] }), "{path}");
    }
}

#[tokio::test]
async fn garbage_is_refused_with_a_problem() {
    let (world, routes) = all().await;
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(300 * 1024));
    for route in routes.iter().filter(|route| route.method != "GET") {
        let url = format!("/api/v1{}", route.url);
        let auth = ("authorization", format!("Bearer {}", world.admin));
        let send = async |body: &str, kind: &str| {
            let headers = [auth.clone(), ("content-type", kind.to_owned())];
            world.send(&route.method, &url, &headers, Some(body.to_owned())).await
        };
        for garbage in ["{", "nul", "\u{0}", "{\"a\":1}x", "[[[["] {
            send(garbage, "application/json").await.is_problem(400, "malformed");
        }
        send(&long, "application/json").await.is_problem(413, "too-large");
        if route.body {
            for wrong in ["null", "7", "\"x\"", "[7]", "{\"no such field\": 1}"] {
                let reply = send(wrong, "application/json").await;
                reply.is_problem(422, "invalid");
                assert!(reply.json()["errors"][0]["pointer"].is_string(), "{reply:?}");
            }
            let reply = send("{\"no such field\": 1}", "application/json").await;
            assert_eq!(reply.json()["errors"][0]["pointer"], "/no such field", "{reply:?}");
            send("{}", "text/plain").await.is_problem(415, "media-type");
        } else {
            send("{\"x\":1}", "application/json").await.is_problem(400, "malformed");
        }
    }
}

#[tokio::test]
async fn nothing_that_is_asked_is_our_failure() {
    let (world, routes) = all().await;
    let long = "x".repeat(4000);
    let ids = ["%00", "%ff", "..%2f..", "a%2Fb", "%F0%9F%99%82", "%0d%0aX-Y:%20z", "0", "*", &long];
    let queries = [
        "?",
        "?limit=0",
        "?limit=x",
        "?limit=99999",
        "?cursor=x",
        "?x=y",
        "?q=%00&account=%ff",
        "?%ff=%ff",
        "?tubes=maybe",
    ];
    for route in &routes {
        for id in ids {
            let url = route.path.replace("{id}", id).replace("{token}", id).replace("{guest}", id);
            if route.method == "POST" && !route.path.contains('{') {
                break;
            }
            for body in [None, route.body.then(|| json!({}))] {
                let reply = world.ask(&world.admin, &route.method, &url, body).await;
                assert!(reply.status.as_u16() < 500, "{} {url}: {reply:?}", route.method);
            }
        }
        if route.method == "GET" && route.path != "/events" {
            for query in queries {
                let reply = world.ask(&world.admin, "GET", &format!("{}{query}", route.url), None).await;
                assert!(reply.status.as_u16() < 500, "{}{query}: {reply:?}", route.url);
            }
        }
    }
    for url in ["webhook+https://[::1", "local:", "local:x?token=y", "irc://", "ircs://a b/#x", "http://x", "\u{0}", ""]
    {
        let reply = world.admin("POST", "/rooms", Some(json!({ "url": url }))).await;
        reply.is_problem(422, "invalid");
    }
}

#[tokio::test]
async fn t26_a_url_of_a_callers_reads_nothing_of_this_machine() {
    let world = World::new().await;
    for url in [
        "webhook+https://chat.example/hook?secret=env:PATH#x",
        "webhook+https://chat.example/hook?secret=file:/etc/passwd#x",
        "ircs://bot@irc.example/#x?password=env:PATH",
        "ircs://bot@irc.example/?password=file:/etc/passwd#x",
    ] {
        world.admin("POST", "/rooms", Some(json!({ "url": url }))).await.is_problem(422, "invalid");
    }
    assert_eq!(world.admin("GET", "/accounts", None).await.json()["items"].as_array().unwrap().len(), 1);
    assert!(!hook_url("x").contains("env:"));
}

#[tokio::test]
async fn a_room_that_was_added_is_one_to_be_in_until_it_is_removed() {
    let world = World::new().await;
    let added = world.admin("POST", "/rooms", Some(json!({ "url": "ircs://irc.example/#tea" }))).await;
    assert_eq!(added.status.as_u16(), 201, "{}", added.text);
    let (id, account) = (added.json()["id"].clone(), added.json()["account"].clone());
    let account = sameroom_model::AccountId::from(account.as_str().unwrap());
    // Before its first Tube, so that people there can make that by a command.
    assert_eq!(world.engine.joined(&account).await.unwrap().len(), 1);
    world.admin("POST", "/rooms", Some(json!({ "url": "ircs://irc.example/#tea" }))).await;
    assert_eq!(world.engine.joined(&account).await.unwrap().len(), 1);
    world.admin("DELETE", &format!("/rooms/{}", id.as_str().unwrap()), None).await;
    assert!(world.engine.joined(&account).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_mail_address_has_as_many_characters_as_the_document_says() {
    let world = World::new().await;
    // Characters, not bytes.
    let email = |n: usize| json!({ "name": "Ada", "email": format!("{}@example.org", "ä".repeat(n)) });
    assert_eq!(world.admin("POST", "/owners", Some(email(242))).await.status.as_u16(), 201);
    world.admin("POST", "/owners", Some(email(243))).await.is_problem(422, "invalid");
}

#[tokio::test]
async fn an_address_says_which_methods_it_takes() {
    let (world, routes) = all().await;
    for route in &routes {
        let reply = world.ask(&world.admin, "PUT", &route.url, None).await;
        reply.is_problem(405, "method-not-allowed");
        assert!(reply.header("allow").contains(&route.method), "{} {}: {reply:?}", route.method, route.path);
    }
    world.admin("GET", "/nothing", None).await.is_problem(404, "not-found");
    world.send("GET", "/api/v1", &[], None).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn t24_every_answer_is_for_its_caller_alone() {
    let (world, routes) = all().await;
    for route in routes.iter().filter(|route| route.method == "GET") {
        let reply = world.ask(&world.admin, "GET", &route.url, None).await;
        assert_eq!(reply.header("cache-control"), "no-store", "{}", route.path);
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"));
        assert!(!reply.header("x-request-id").is_empty());
        assert!(reply.headers.get("access-control-allow-origin").is_none(), "no other site may ask");
    }
}
