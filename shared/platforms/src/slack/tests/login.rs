//! How Slack is added, by form, by OAuth and by URL; tokens renewed; channels listed; names looked up; the manifest.

use std::collections::BTreeMap;

use sameroom_model::{Attachment, Outcome, RoomKey};
use url::Url;

use super::*;
use crate::suite::{desk, now};
use crate::{Answer, Desk, Draft, Problem, Step, Subject, Urls};

fn fields(pairs: &[(&str, &str)]) -> Answer {
    Answer::Fields(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

fn returned(pairs: &[(&str, &str)]) -> Answer {
    Answer::Returned(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
}

fn sent(step: Result<Step, Problem>) -> String {
    match step {
        Ok(Step::Send(request)) => {
            let login = request.headers()["authorization"].to_str().unwrap();
            format!("{} by {login}", show(&request))
        }
        other => panic!("{other:?}"),
    }
}

fn done(step: Result<Step, Problem>) -> Draft {
    match step {
        Ok(Step::Done(draft)) => *draft,
        other => panic!("{other:?}"),
    }
}

fn who() -> Answer {
    Answer::Response(answer(&json!({ "ok": true, "url": "https://acme.slack.com/", "team": "Acme", "user": "sameroom",
        "team_id": "T024BE7LD", "user_id": "U0KRQLJ9H", "bot_id": "B0SAMEROOM" })))
}

#[test]
fn a_pasted_token_is_looked_into() {
    let form = fields(&[("bot_token", TOKEN), ("signing_secret", SECRET)]);
    assert_eq!(sent(Slack.onboard(&desk(), std::slice::from_ref(&form))), format!("auth.test  by Bearer {TOKEN}"));
    assert_eq!(
        sent(Slack.onboard(&desk(), &[form.clone(), who()])),
        format!("bots.info bot=B0SAMEROOM by Bearer {TOKEN}")
    );
    let bot = Answer::Response(answer(&json!({ "ok": true, "bot": { "id": "B0SAMEROOM", "app_id": "A0SAMEROOM" } })));
    let draft = done(Slack.onboard(&desk(), &[form.clone(), who(), bot]));
    assert_eq!(draft.place, Place::Alone);
    assert_eq!(draft.identity, Identity { key: Some("U0KRQLJ9H".into()), name: "sameroom@acme.slack.com".to_owned() });
    assert_eq!(draft.settings, account().account.settings);
    assert_eq!(draft.secrets.get("token"), Some(TOKEN));
    // Without the scope users:read it goes on without the app's id.
    let refused = Answer::Response(answer(&json!({ "ok": false, "error": "missing_scope", "needed": "users:read" })));
    assert_eq!(done(Slack.onboard(&desk(), &[form.clone(), who(), refused])).settings["app_id"], Value::Null);
    let wrong = Answer::Response(answer(&json!({ "ok": false, "error": "invalid_auth" })));
    assert_eq!(Slack.onboard(&desk(), &[form, wrong]).unwrap_err().field, Some("bot_token"));
}

#[test]
fn an_app_is_kept_and_then_installed() {
    let form = fields(&[("client_id", "1.2"), ("client_secret", "client-secret"), ("signing_secret", SECRET)]);
    let draft = done(Slack.onboard(&desk(), std::slice::from_ref(&form)));
    assert_eq!((draft.place, draft.identity.name.as_str()), (Place::App, "app 1.2"));
    let app = app();
    let desk = Desk { app: Some(&app), ..desk() };
    // The same onboarding goes on; another one of the same app begins here.
    for answers in [&[form.clone()][..], &[]] {
        let Ok(Step::Visit(url)) = Slack.onboard(&desk, answers) else { panic!() };
        assert!(url.as_str().starts_with("https://slack.com/oauth/v2/authorize?client_id=1.2&scope="), "{url}");
        let query: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        assert!(query["scope"].contains("chat:write,chat:write.customize,"), "{url}");
        assert_eq!((query["state"].as_str(), query["redirect_uri"].as_str()), (desk.state, desk.back));
    }
    let back = returned(&[("code", "c0de"), ("state", "state-for-tests")]);
    assert_eq!(
        sent(Slack.onboard(&desk, &[form.clone(), back.clone()])),
        "oauth.v2.access code=c0de&redirect_uri=https://sameroom.example.org/oauth/return by Basic MS4yOmNsaWVudC1zZWNyZXQ="
    );
    let granted = Answer::Response(answer(&json!({ "ok": true, "access_token": TOKEN, "token_type": "bot",
        "bot_user_id": "U0KRQLJ9H", "app_id": "A0SAMEROOM", "team": { "id": "T024BE7LD", "name": "Acme" },
        "enterprise": null, "is_enterprise_install": false, "refresh_token": "xoxe-1-r", "expires_in": 43200 })));
    let answers = [form, back, granted, who()];
    assert_eq!(sent(Slack.onboard(&desk, &answers[..3])), format!("auth.test  by Bearer {TOKEN}"));
    let draft = done(Slack.onboard(&desk, &answers));
    assert_eq!(draft.place, Place::Installed { app: app.account.id.clone(), tenant: "T024BE7LD".to_owned() });
    assert_eq!(draft.settings, account().account.settings);
    assert_eq!(draft.secrets.get("refresh_token"), Some("xoxe-1-r"));
    // Counted from when this was begun.
    assert_eq!(draft.secrets.get("expires_at"), Some("43200"));
    // Those of the app stay with the app.
    assert_eq!(draft.secrets.get("client_secret").or(draft.secrets.get("signing_secret")), None);
}

#[test]
fn an_organisation_is_one_installation() {
    let app = app();
    let desk = Desk { app: Some(&app), ..desk() };
    let granted = Answer::Response(answer(&json!({ "ok": true, "access_token": TOKEN, "team": null,
        "enterprise": { "id": "E0ORG", "name": "Org" }, "is_enterprise_install": true, "app_id": "A0SAMEROOM" })));
    let draft = done(Slack.onboard(&desk, &[returned(&[("code", "c")]), granted, who()]));
    let Place::Installed { tenant, .. } = draft.place else { panic!() };
    assert_eq!((tenant.as_str(), &draft.settings["team"]), ("E0ORG", &json!("Org")));
    assert_eq!(draft.settings["team_id"], Value::Null);
}

#[test]
fn a_visit_that_came_to_nothing_says_so() {
    let app = app();
    let desk = Desk { app: Some(&app), ..desk() };
    let why = |answers: &[Answer]| Slack.onboard(&desk, answers).unwrap_err().message;
    assert!(why(&[returned(&[("error", "access_denied"), ("state", "s")])]).contains("not allowed"));
    assert!(why(&[returned(&[("state", "s")])]).contains("without a code"));
    let used = Answer::Response(answer(&json!({ "ok": false, "error": "invalid_code" })));
    assert!(why(&[returned(&[("code", "c")]), used]).contains("begin again"));
    let person = Answer::Response(answer(&json!({ "ok": true, "authed_user": { "access_token": "xoxp-1" } })));
    assert!(why(&[returned(&[("code", "c")]), person]).contains("bot scopes"));
}

#[test]
fn forms_say_what_is_missing() {
    let field = |pairs: &[(&str, &str)]| Slack.onboard(&desk(), &[fields(pairs)]).unwrap_err().field;
    assert_eq!(field(&[]), Some("signing_secret"));
    assert_eq!(field(&[("signing_secret", SECRET)]), Some("client_id"));
    assert_eq!(field(&[("signing_secret", SECRET), ("client_id", "1.2")]), Some("client_secret"));
    assert_eq!(field(&[("signing_secret", SECRET), ("client_id", "x")]), Some("client_id"));
    assert_eq!(field(&[("signing_secret", SECRET), ("bot_token", "abc")]), Some("bot_token"));
    assert_eq!(field(&[("app_token", "xoxb-1")]), Some("app_token"));
    assert_eq!(field(&[("signing_secret", SECRET), ("endpoint", "ftp://x")]), Some("endpoint"));
}

#[test]
fn a_url_names_a_channel_by_id() {
    let locate = |url: &str| Slack.locate(&Url::parse(url).unwrap());
    let located = locate("slack://Acme/C024BE91L?token=env:T&signing=env:S&name=%23general&bot=B0X").unwrap();
    assert_eq!((located.room.name.as_str(), located.room.site.as_str()), ("#general", "acme.slack.com"));
    assert_eq!(located.account.endpoint, "https://slack.com/api/");
    assert_eq!(located.account.settings, json!({ "bot_id": "B0X" }));
    assert_eq!(located.account.secrets.get("signing_secret"), Some("env:S"));
    let why = |url: &str| locate(url).unwrap_err().0;
    assert!(why("slack://acme/general?token=env:T&signing=env:S").contains("by its id"));
    assert!(why("slack://acme/C1?signing=env:S").contains("token=env:NAME"));
    assert!(why("slack://acme/C1?token=env:T").contains("Socket Mode"));
    assert!(why("slack://acme/C1?token=secret").contains("begins with xox"));
    assert!(why("slack:///C1").contains("workspace"));
    assert!(why("slack://acme/C1?token=env:T&signing=env:S&x=1").contains("takes token"));
}

#[test]
fn tokens_are_renewed_by_the_app() {
    let mut account = account();
    assert!(Slack.renew(&account).is_none(), "without a refresh token");
    account.secrets.set("refresh_token", "xoxe-1-r");
    account.secrets.set("client_secret", "client-secret");
    account.account.settings["client_id"] = "1.2".into();
    let request = Slack.renew(&account).unwrap();
    assert_eq!(show(&request), "oauth.v2.access grant_type=refresh_token&refresh_token=xoxe-1-r");
    let renewed = |body: &Value| Slack.renewed(&account, &answer(body), now());
    let secrets = renewed(&json!({ "ok": true, "access_token": "xoxe.xoxb-2", "refresh_token": "xoxe-1-s" })).unwrap();
    assert_eq!((secrets.get("token"), secrets.get("refresh_token")), (Some("xoxe.xoxb-2"), Some("xoxe-1-s")));
    assert_eq!(secrets.get("expires_at"), Some(""), "that of the token before is not its end");
    let lasting =
        json!({ "ok": true, "access_token": "xoxe.xoxb-2", "refresh_token": "xoxe-1-s", "expires_in": 43200 });
    let end = now().as_second() + 43200;
    assert_eq!(renewed(&lasting).unwrap().get("expires_at"), Some(end.to_string().as_str()));
    let mut ending = account.clone();
    assert_eq!(Slack.expires(&ending), None);
    ending.secrets.set("expires_at", end.to_string());
    assert_eq!(Slack.expires(&ending).map(sameroom_model::Timestamp::as_second), Some(end));
    ending.secrets.set("refresh_token", "");
    assert_eq!(Slack.expires(&ending), None, "it can't be renewed");
    let dead = json!({ "ok": false, "error": "invalid_refresh_token" });
    assert!(matches!(renewed(&dead), Err(Outcome::Disconnected { .. })));
    assert!(matches!(renewed(&json!({ "ok": false, "error": "internal_error" })), Err(Outcome::Retry { .. })));
}

#[test]
fn channels_are_listed_page_by_page() {
    let account = account();
    let request = Slack.list(&account, None).unwrap();
    assert_eq!(
        show(&request),
        "conversations.list types=public_channel,private_channel&exclude_archived=true&limit=200"
    );
    assert!(show(&Slack.list(&account, Some("dXNlcjpV=")).unwrap()).ends_with("&cursor=dXNlcjpV="));
    let page = answer(&json!({ "ok": true, "channels": [
        { "id": "C024BE91L", "name": "general", "is_private": false }, { "id": "C0OPS", "name": "ops", "is_private": true },
        { "id": 7 } ], "response_metadata": { "next_cursor": "next" } }));
    let listing = Slack.listed(&account, &page, now()).unwrap();
    let names: Vec<_> =
        listing.rooms.iter().map(|room| (room.key.as_str(), room.name.as_str(), room.site.as_str())).collect();
    assert_eq!(names, [("C024BE91L", "#general", "Acme"), ("C0OPS", "#ops", "Acme")]);
    assert_eq!(listing.next.as_deref(), Some("next"));
    let last = answer(&json!({ "ok": true, "channels": [], "response_metadata": { "next_cursor": "" } }));
    assert_eq!(Slack.listed(&account, &last, now()).unwrap().next, None);
}

#[test]
fn public_channels_are_joined_and_private_ones_need_an_invitation() {
    let room = RoomKey::from("C024BE91L");
    let account = account();
    assert_eq!(show(&Slack.enter(&account, &room).unwrap()), r#"conversations.join {"channel":"C024BE91L"}"#);
    assert!(Slack.enter(&account, &"D1".into()).is_none());
    let entered = |body: Value| Slack.entered(&account, &room, &answer(&body), now());
    assert_eq!(entered(json!({ "ok": true, "warning": "already_in_channel" })), Outcome::done());
    assert_eq!(entered(json!({ "ok": false, "error": "method_not_supported_for_channel_type" })), Outcome::done());
    let Outcome::RoomClosed { why } = entered(json!({ "ok": false, "error": "channel_not_found" })) else { panic!() };
    assert!(why.contains("/invite"), "{why}");
}

#[test]
fn keys_are_looked_up() {
    let account = account();
    let cases = [
        (
            Subject::User("U1".into()),
            "users.info user=U1",
            json!({ "user": { "name": "ann", "is_bot": false, "profile": { "display_name": "Ann" } } }),
            "Ann",
        ),
        (
            Subject::User("B1".into()),
            "bots.info bot=B1",
            json!({ "bot": { "name": "CI", "icons": { "image_72": "https://a.example/b.png" } } }),
            "CI",
        ),
        (Subject::Room("C1".into()), "conversations.info channel=C1", json!({ "channel": { "name": "ops" } }), "#ops"),
        (
            Subject::Group("S1".to_owned()),
            "usergroups.list include_disabled=true",
            json!({ "usergroups": [{ "id": "S0", "handle": "no" }, { "id": "S1", "handle": "crew" }] }),
            "crew",
        ),
    ];
    for (what, asked, mut told, name) in cases {
        assert_eq!(show(&Slack.look_up(&account, &what).unwrap()), asked);
        told["ok"] = true.into();
        assert_eq!(Slack.looked_up(&account, &what, &answer(&told), now()).unwrap().name, name);
        let unknown = answer(&json!({ "ok": false, "error": "user_not_found" }));
        assert!(matches!(Slack.looked_up(&account, &what, &unknown, now()), Err(Outcome::Refused { .. })));
    }
    assert!(Slack.look_up(&account, &Subject::User("ann".into())).is_none());
}

#[test]
fn t5_the_token_is_shown_to_slack_alone() {
    let account = account();
    let file = |url: &str| Attachment {
        name: "a.png".to_owned(),
        mime: Some("image/png".to_owned()),
        size: None,
        url: url.to_owned(),
        access: sameroom_model::Access::Account,
        content: None,
    };
    let asked = |url: &str| Slack.download(&account, &file(url)).is_some();
    assert!(asked("https://files.slack.com/files-pri/T-F/a.png"));
    for elsewhere in [
        "http://files.slack.com/a.png",
        "https://files.slack.com.example.org/a.png",
        "https://notslack.com/a.png",
        "https://x@files.slack.com/a.png",
        "https://files.slack.com:444/a.png",
        "file:///etc/passwd",
        "https://",
    ] {
        assert!(!asked(elsewhere), "{elsewhere}");
    }
    let mut own = account.clone();
    own.account.endpoint = "http://127.0.0.1:8080/api/".to_owned();
    assert!(Slack.download(&own, &file("http://127.0.0.1:8080/files/a.png")).is_some());
    assert!(Slack.download(&own, &file("http://127.0.0.1:8081/files/a.png")).is_none());

    let read = |kind: &str, status: u16| {
        let response = Response::builder().status(status).header("content-type", kind).body(Bytes::from("x")).unwrap();
        Slack.downloaded(&file("https://files.slack.com/a.png"), response)
    };
    assert_eq!(read("image/png", 200).unwrap(), "x");
    assert!(
        matches!(read("text/html; charset=utf-8", 200), Err(Outcome::Refused { why }) if why.contains("files:read"))
    );
    assert!(matches!(read("text/html", 302), Err(Outcome::Refused { .. })));
    assert!(matches!(read("text/plain", 503), Err(Outcome::Retry { .. })));
}

#[test]
fn the_manifest_asks_for_what_is_used() {
    let manifest = |urls: Urls<'_>| -> Value { serde_json::from_str(&Slack.manifest(&urls).unwrap()).unwrap() };
    let whole = manifest(Urls {
        hooks: Some("https://sameroom.example.org/hooks/slack/slack-1"),
        back: Some("https://sameroom.example.org/oauth/return"),
        held: false,
    });
    let events = &whole["settings"]["event_subscriptions"];
    assert_eq!(events["request_url"], "https://sameroom.example.org/hooks/slack/slack-1");
    assert!(events["bot_events"].as_array().unwrap().contains(&json!("message.channels")));
    assert_eq!(whole["oauth_config"]["redirect_urls"], json!(["https://sameroom.example.org/oauth/return"]));
    assert!(whole["oauth_config"]["scopes"]["bot"].as_array().unwrap().contains(&json!("chat:write.customize")));
    let held = manifest(Urls { held: true, ..Urls::default() });
    assert_eq!(held["settings"]["socket_mode_enabled"], true);
    assert!(held["settings"]["event_subscriptions"]["request_url"].is_null());
    assert!(held["settings"]["event_subscriptions"]["bot_events"].is_array());
    let first = manifest(Urls::default());
    assert!(first["settings"]["event_subscriptions"].is_null());
}
