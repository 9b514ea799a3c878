//! Promise 6: nobody sees, changes or relays a room that is not theirs or not connected to theirs.

use http::StatusCode;
use sameroom_model::{OwnerId, TubeState};
use sameroom_platforms::by_name;
use sameroom_tests::worlds::Mood;
use serde_json::json;

stories! {
    async fn anothers_tube_can_not_be_seen_or_changed(town) {
        let _hook = town.hook("hook").await;
        let tube = town.tube("hook a", "hook b").await;
        let mallory = OwnerId::from("mallory");
        assert_eq!(town.engine.tubes(&mallory).await.unwrap(), []);
        assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap(), std::slice::from_ref(&tube));
        assert_eq!(town.engine.set_tube(&mallory, &tube.id, TubeState::Paused).await.unwrap(), None);
        assert!(!town.engine.remove_tube(&mallory, &tube.id).await.unwrap());
        assert_eq!(town.engine.accounts(&mallory).await.unwrap(), []);
    }

    async fn each_owner_of_an_end_may_pause_or_remove_the_tube(town) {
        let (ours, theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let tube = town.tube_of(["operator", "eve"], "ours a", "theirs b").await;
        ours.says("ann", "a", "hi").await;
        theirs.shows("b", &[("ann", "hi")]).await;
        let eve = OwnerId::from("eve");
        assert_eq!(town.engine.tubes(&eve).await.unwrap().len(), 1);
        assert!(town.engine.set_tube(&eve, &tube.id, TubeState::Paused).await.unwrap().is_some());
        ours.says("ann", "a", "are you there?").await;
        town.settled().await;
        theirs.shows("b", &[("ann", "hi")]).await;
        assert!(town.engine.remove_tube(&eve, &tube.id).await.unwrap());
        assert_eq!(town.engine.tubes(&"operator".into()).await.unwrap(), []);
    }

    async fn anothers_failed_deliveries_can_not_be_seen_or_replayed(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        town.settled().await;
        hook.script("b", [Mood::Refusing]);
        hook.says("ann", "a", "for b alone").await;
        town.settled().await;
        let id = town.failed().await[0].id.clone();
        let mallory = OwnerId::from("mallory");
        assert!(town.engine.failed(&mallory, None, 100).await.unwrap().is_empty());
        assert!(!town.engine.replay(&mallory, &id).await.unwrap());
        assert_eq!(town.failed().await.len(), 1);
    }

    async fn anothers_account_is_not_taken_over_by_adding_it(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        let theirs = town.engine.account(&town.account("hook")).await.unwrap().unwrap();
        let url = format!("webhook+{}?secret=mallorys", theirs.endpoint);
        let draft = by_name("webhook").unwrap().locate(&url.parse().unwrap()).unwrap().account;
        let mallorys = town.engine.add_account(&"mallory".into(), &draft).await.unwrap();
        assert_ne!(mallorys.id, theirs.id);
        assert_eq!(town.engine.account(&theirs.id).await.unwrap().unwrap(), theirs);
        // It is added once however often she tries, and the first one still works.
        assert_eq!(town.engine.add_account(&"mallory".into(), &draft).await.unwrap().id, mallorys.id);
        assert!(town.engine.add_account_as(theirs.id.clone(), &"mallory".into(), &draft).await.is_err());
        hook.says("ann", "a", "still mine").await;
        hook.shows("b", &[("ann", "still mine")]).await;
        assert_eq!(hook.unproven(), 0);
    }

    async fn the_same_server_is_an_account_of_each_owner_and_the_connections_of_both_are_held(town) {
        let _hook = town.hook("hook").await;
        let url = "irc://bot@irc.example/%23rust".parse().unwrap();
        let draft = by_name("irc").unwrap().locate(&url).unwrap().account;
        let mut ids = Vec::new();
        for owner in ["operator", "mallory"] {
            ids.push(town.engine.add_account(&owner.into(), &draft).await.unwrap().id);
        }
        // Added again it is still held once.
        town.engine.add_account(&"mallory".into(), &draft).await.unwrap();
        let held: Vec<_> = town.engine.held_accounts().await.unwrap().into_iter().map(|held| held.id).collect();
        ids.sort();
        assert_eq!(held, ids, "and no account that is reached by requests alone");
    }

    async fn an_unknown_account_and_a_bad_signature_are_answered_alike(town) {
        let hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        let hi = json!({ "type": "message.posted", "room": "a", "author": { "name": "mal" }, "message": { "text": "hi" } });
        let mut forged = hook.signed("e1", hi.clone());
        forged.headers_mut().insert("webhook-signature", "v1,AAAA".parse().unwrap());
        let mut unknown = hook.signed("e2", hi.clone());
        *unknown.uri_mut() = format!("http://{}/hooks/webhook/webhook-nobody", town.address).parse().unwrap();
        let mut elsewhere = hook.signed("e3", hi);
        *elsewhere.uri_mut() = format!("http://{}/hooks/irc/{}", town.address, town.account("hook")).parse().unwrap();
        let (forged, unknown, elsewhere) =
            (hook.sends(forged).await, hook.sends(unknown).await, hook.sends(elsewhere).await);
        assert_eq!(forged.status, StatusCode::UNAUTHORIZED);
        assert_eq!((forged.status, &forged.body), (unknown.status, &unknown.body));
        assert_eq!((forged.status, &forged.body), (elsewhere.status, &elsewhere.body));
        town.settled().await;
        hook.shows("b", &[]).await;
    }

    async fn nobody_edits_a_message_of_somebody_else_in_a_hosted_room(town) {
        let tea = town.local("tea").await;
        let key = tea.says("ann", "mine").await;
        let url = format!("http://{}/hooks/local/{}/{}", town.address, tea.room.account, tea.room.key);
        let hook = town.hook("hook").await;
        let author = json!({ "id": "browser-secret-of-mal", "name": "ann" });
        let deed = json!({ "type": "edit", "id": "c9", "author": author, "key": key, "text": "yours" });
        let answered = hook.sends(http::Request::post(url).body(deed.to_string().into()).unwrap()).await;
        assert!(answered.status.is_client_error());
        assert_eq!(tea.shows().await, [("ann".to_owned(), "mine".to_owned())]);
    }
}
