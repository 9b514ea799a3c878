//! Portals: made by one owner, used by others.

use std::collections::BTreeSet;
use std::time::Duration;

use sameroom_engine::{ChangeKind, Changed, PortalError, Used};
use sameroom_model::{GuestState, OwnerId, PortalOptions, PortalState, RoomRef};
use sameroom_platforms::RoomDraft;
use sameroom_tests::worlds::Town;
use secrecy::{ExposeSecret, SecretString};

fn operator() -> OwnerId {
    "operator".into()
}

fn eve() -> OwnerId {
    "eve".into()
}

fn invalid<T: std::fmt::Debug>(answer: &Result<T, PortalError>) {
    assert!(matches!(answer, Err(PortalError::NotValid)), "{answer:?}");
}

/// Rooms of Eve's, and the room that the Portals lead to.
async fn rooms(town: &Town, count: usize) -> (RoomRef, Vec<RoomRef>) {
    let mut hers = Vec::new();
    for n in 0..count {
        hers.push(town.room(&format!("theirs r{n}")).await);
    }
    (town.room("ours a").await, hers)
}

stories! {
    async fn a_counterpart_connects_a_room_of_their_own(town) {
        let (ours, theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 1).await;
        let engine = &town.engine;
        assert!(engine.add_portal(&eve(), &a, &PortalOptions::default()).await.unwrap().is_none());
        let (portal, token) = engine.add_portal(&operator(), &a, &PortalOptions::default()).await.unwrap().unwrap();
        let invitation = engine.invitation(&token).await.unwrap().unwrap();
        assert_eq!((invitation.name.as_str(), invitation.readers, invitation.approval), ("a", 1, false));
        let Used::Connected(tube) = engine.use_portal(&token, &eve(), &hers[0]).await.unwrap() else { panic!() };
        assert!(tube.sides[0].own.is_some() && tube.sides[1].own.is_none());
        assert_eq!(tube.made_by, sameroom_engine::Made::Portal(None));
        // The same pair again is the same Tube, and no second use.
        assert_eq!(engine.use_portal(&token, &eve(), &hers[0]).await.unwrap(), Used::Connected(tube.clone()));
        assert_eq!(engine.portal(&operator(), &portal.id).await.unwrap().unwrap().uses_made, 1);
        theirs.says("eve", "r0", "hello").await;
        ours.shows("a", &[("eve", "hello")]).await;
        let guests = engine.guests(&operator(), &portal.id, None, 10).await.unwrap().unwrap().items;
        assert_eq!((guests[0].name.as_str(), guests[0].state), ("r0", GuestState::Approved));
        assert!(engine.guests(&eve(), &portal.id, None, 10).await.unwrap().is_none());
        // Its own room, and rooms that are not hers.
        let answer = engine.use_portal(&token, &operator(), &a).await;
        assert!(matches!(answer, Err(PortalError::SameRoom(_))), "{answer:?}");
        let answer = engine.use_portal(&token, &"mallory".into(), &hers[0]).await;
        assert!(matches!(answer, Err(PortalError::UnknownRoom(_))), "{answer:?}");
        assert!(engine.remove_tube(&eve(), &tube.id).await.unwrap());
        let guests = engine.guests(&operator(), &portal.id, None, 10).await.unwrap().unwrap().items;
        assert_eq!((guests[0].state, &guests[0].tube), (GuestState::Removed, &None));
        let Used::Connected(_) = engine.use_portal(&token, &eve(), &hers[0]).await.unwrap() else { panic!() };
        assert_eq!(engine.portal(&operator(), &portal.id).await.unwrap().unwrap().uses_made, 2);
    }

    async fn what_opens_nothing_is_answered_alike(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 2).await;
        let engine = &town.engine;
        let make = async |options: PortalOptions| engine.add_portal(&operator(), &a, &options).await.unwrap().unwrap();
        let now = engine.clock().now();
        let (_, over) = make(PortalOptions { expires: Some(now), ..PortalOptions::default() }).await;
        let (revoked, dead) = make(PortalOptions::default()).await;
        engine.revoke_portal(&operator(), &revoked.id, false).await.unwrap().unwrap();
        let (rotated, old) = make(PortalOptions::default()).await;
        let Changed::Done((_, new)) = engine.rotate_portal(&operator(), &rotated.id, None).await.unwrap() else { panic!() };
        let (once, used) = make(PortalOptions { uses: Some(1), ..PortalOptions::default() }).await;
        engine.use_portal(&used, &eve(), &hers[1]).await.unwrap();
        assert_eq!(engine.portal(&operator(), &once.id).await.unwrap().unwrap().state, PortalState::Used);
        for token in [&over, &dead, &old, &used, &SecretString::from("guessed".to_owned())] {
            invalid(&engine.use_portal(token, &eve(), &hers[0]).await);
            assert!(engine.invitation(token).await.unwrap().is_none());
        }
        // Whoever used it up is still told that they are connected; and the new token is the one that is shown again.
        assert!(matches!(engine.use_portal(&used, &eve(), &hers[1]).await.unwrap(), Used::Connected(_)));
        let shown = engine.show_portal_token(&operator(), &rotated.id).await.unwrap().unwrap();
        assert_eq!(shown.expose_secret(), new.expose_secret());
        assert!(engine.show_portal_token(&eve(), &rotated.id).await.unwrap().is_none());
        assert!(engine.show_portal_token(&operator(), &revoked.id).await.unwrap().is_none());
        assert!(matches!(engine.use_portal(&new, &eve(), &hers[0]).await.unwrap(), Used::Connected(_)));
    }

    async fn an_owner_approves_or_refuses(town) {
        let (ours, theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 3).await;
        let engine = &town.engine;
        let options = PortalOptions { approval: true, uses: Some(1), ..PortalOptions::default() };
        let (portal, token) = engine.add_portal(&operator(), &a, &options).await.unwrap().unwrap();
        let mut waiting = Vec::new();
        for room in &hers {
            let Used::Waiting(guest) = engine.use_portal(&token, &eve(), room).await.unwrap() else { panic!() };
            assert_eq!(engine.use_portal(&token, &eve(), room).await.unwrap(), Used::Waiting(guest.clone()));
            waiting.push(guest.id);
        }
        let seen = engine.portal(&operator(), &portal.id).await.unwrap().unwrap();
        assert_eq!((seen.waiting, seen.uses_made), (3, 0));
        theirs.says("eve", "r0", "not yet").await;
        // Where events wait in a queue, what is decided before they are taken up is decided for them too.
        town.settled().await;
        let decide = async |owner: OwnerId, n: usize, yes| engine.decide(&owner, &portal.id, &waiting[n], yes).await;
        assert_eq!(decide(eve(), 0, true).await.unwrap(), Changed::Gone);
        assert_eq!(decide(operator(), 0, true).await.unwrap().done().unwrap().state, GuestState::Approved);
        assert_eq!(decide(operator(), 0, true).await.unwrap().done().unwrap().state, GuestState::Approved);
        assert_eq!(decide(operator(), 0, false).await.unwrap(), Changed::Stale);
        assert_eq!(decide(operator(), 1, false).await.unwrap().done().unwrap().state, GuestState::Refused);
        let answer = decide(operator(), 2, true).await;
        assert!(matches!(answer, Err(PortalError::UsedUp)), "{answer:?}");
        let options = PortalOptions { uses: Some(5), ..options };
        engine.change_portal(&operator(), &portal.id, &options, None).await.unwrap().done().unwrap();
        let answer = engine.use_portal(&token, &eve(), &hers[1]).await;
        assert!(matches!(answer, Err(PortalError::Refused)), "{answer:?}");
        decide(operator(), 2, true).await.unwrap().done().unwrap();
        let seen = engine.portal(&operator(), &portal.id).await.unwrap().unwrap();
        assert_eq!((seen.waiting, seen.uses_made, seen.state), (0, 2, PortalState::Open));
        theirs.says("eve", "r0", "now").await;
        town.settled().await;
        ours.shows("a", &[("eve", "now")]).await;
        let told = engine.changes_since(&operator(), 0, 1000).await.unwrap().changes;
        assert_eq!(told.iter().filter(|change| change.kind == ChangeKind::GuestCame).count(), 3);
    }

    async fn a_portal_is_revoked_with_its_tubes(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 3).await;
        let engine = &town.engine;
        let (portal, token) = engine.add_portal(&operator(), &a, &PortalOptions::default()).await.unwrap().unwrap();
        for room in &hers {
            engine.use_portal(&token, &eve(), room).await.unwrap();
        }
        town.tube("ours a", "ours b").await;
        assert!(engine.revoke_portal(&eve(), &portal.id, true).await.unwrap().is_none());
        let alone = engine.revoke_portal(&operator(), &portal.id, false).await.unwrap().unwrap();
        assert_eq!((alone.tubes, alone.portal.state), (0, PortalState::Revoked));
        assert_eq!(engine.tubes(&eve()).await.unwrap().len(), 3);
        assert_eq!(engine.revoke_portal(&operator(), &portal.id, true).await.unwrap().unwrap().tubes, 3);
        assert_eq!(engine.tubes(&eve()).await.unwrap().len(), 0);
        assert_eq!(engine.tubes(&operator()).await.unwrap().len(), 1);
    }

    async fn fifty_at_once_on_a_portal_for_one_make_one_tube(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 50).await;
        let options = PortalOptions { uses: Some(1), ..PortalOptions::default() };
        let (portal, token) = town.engine.add_portal(&operator(), &a, &options).await.unwrap().unwrap();
        let tries: Vec<_> = hers.into_iter().map(|room| {
            let (engine, token) = (town.engine.clone(), token.clone());
            tokio::spawn(async move { engine.use_portal(&token, &eve(), &room).await })
        }).collect();
        let mut made = BTreeSet::new();
        for answer in tries {
            match answer.await.unwrap() {
                Ok(Used::Connected(tube)) => assert!(made.insert(tube.id)),
                answer => invalid(&answer),
            }
        }
        assert_eq!(made.len(), 1);
        let tubes = town.engine.tubes(&operator()).await.unwrap();
        assert_eq!(tubes.iter().map(|tube| tube.id.clone()).collect::<BTreeSet<_>>(), made);
        assert_eq!(town.engine.portal(&operator(), &portal.id).await.unwrap().unwrap().uses_made, 1);
    }

    async fn one_guest_twenty_times_at_once_is_one_use(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 1).await;
        let (portal, token) = town.engine.add_portal(&operator(), &a, &PortalOptions::default()).await.unwrap().unwrap();
        let tries: Vec<_> = (0..20).map(|_| {
            let (engine, token, room) = (town.engine.clone(), token.clone(), hers[0].clone());
            tokio::spawn(async move { engine.use_portal(&token, &eve(), &room).await })
        }).collect();
        for answer in tries {
            assert!(matches!(answer.await.unwrap(), Ok(Used::Connected(_))));
        }
        assert_eq!(town.engine.portal(&operator(), &portal.id).await.unwrap().unwrap().uses_made, 1);
    }

    async fn revoking_and_using_at_once_leaves_nothing_half_made(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, hers) = rooms(town, 10).await;
        let (portal, token) = town.engine.add_portal(&operator(), &a, &PortalOptions::default()).await.unwrap().unwrap();
        let tries: Vec<_> = hers.into_iter().map(|room| {
            let (engine, token) = (town.engine.clone(), token.clone());
            tokio::spawn(async move { drop(engine.use_portal(&token, &eve(), &room).await) })
        }).collect();
        tokio::time::sleep(Duration::from_millis(2)).await;
        town.engine.revoke_portal(&operator(), &portal.id, true).await.unwrap().unwrap();
        for done in tries {
            done.await.unwrap();
        }
        assert_eq!(town.engine.tubes(&operator()).await.unwrap(), []);
        assert_eq!(town.engine.tubes(&eve()).await.unwrap(), []);
    }

    async fn a_room_has_one_lasting_portal(town) {
        let _ours = town.hook("ours").await;
        let a = town.room("ours a").await;
        let engine = &town.engine;
        let first = engine.lasting_portal(&operator(), &a).await.unwrap().unwrap();
        let again = engine.lasting_portal(&operator(), &a).await.unwrap().unwrap();
        assert_eq!((first.0, first.1.expose_secret()), (again.0, again.1.expose_secret()));
        assert!(engine.lasting_portal(&eve(), &a).await.unwrap().is_none());
        let settings = serde_json::Value::Null;
        let draft = RoomDraft { key: "z".into(), name: "z".into(), site: "x".into(), settings };
        engine.add_room(&a.account, &draft).await.unwrap();
        assert!(engine.remove_room(&operator(), &a).await.unwrap());
        assert!(!engine.remove_room(&operator(), &a).await.unwrap());
        assert!(engine.invitation(&first.1).await.unwrap().is_none());
    }
}
