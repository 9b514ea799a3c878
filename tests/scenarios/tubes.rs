//! Tubes as their owners manage them.

use std::time::{Duration, Instant};

use sameroom_engine::{Changed, Flow, LinkError, Move};
use sameroom_model::{AuthorStyle, Direction, MadeBy, OwnerId, RoomOptions, TubeState};
use sameroom_platforms::RoomDraft;

fn operator() -> OwnerId {
    "operator".into()
}

fn eve() -> OwnerId {
    "eve".into()
}

stories! {
    async fn each_owner_sees_of_the_other_side_the_room_and_nothing_else(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let tube = town.tube_of(["operator", "eve"], "ours a", "theirs b").await;
        let mine = town.engine.tube(&operator(), &tube.id).await.unwrap().unwrap();
        let hers = town.engine.tube(&eve(), &tube.id).await.unwrap().unwrap();
        assert_eq!(mine.sides.each_ref().map(|side| side.name.as_str()), ["a", "b"]);
        assert_eq!(hers.sides.each_ref().map(|side| side.name.as_str()), ["b", "a"]);
        assert!(mine.sides[0].own.is_some() && mine.sides[1].own.is_none());
        assert!(hers.sides[0].own.is_some() && hers.sides[1].own.is_none());
        assert_eq!(town.engine.tubes_page(&eve(), None, 10).await.unwrap().items, [hers]);
        assert!(town.engine.tube(&"mallory".into(), &tube.id).await.unwrap().is_none());
    }

    async fn what_one_owner_paused_the_other_can_not_resume(town) {
        let (ours, theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let id = town.tube_of(["operator", "eve"], "ours a", "theirs b").await.id;
        let engine = &town.engine;
        let state = |changed: Changed<sameroom_engine::TubeView>| changed.done().unwrap().state;
        assert_eq!(state(engine.pause_tube(&eve(), &id, None).await.unwrap()), TubeState::Paused);
        assert_eq!(state(engine.resume_tube(&operator(), &id, None).await.unwrap()), TubeState::Paused);
        assert_eq!(state(engine.pause_tube(&operator(), &id, None).await.unwrap()), TubeState::Paused);
        assert_eq!(state(engine.resume_tube(&eve(), &id, None).await.unwrap()), TubeState::Paused);
        ours.says("ann", "a", "still closed").await;
        town.settled().await;
        theirs.shows("b", &[]).await;
        assert_eq!(state(engine.resume_tube(&operator(), &id, None).await.unwrap()), TubeState::Open);
        theirs.shows("b", &[("ann", "still closed")]).await;
        assert_eq!(engine.pause_tube(&"mallory".into(), &id, None).await.unwrap(), Changed::Gone);
    }

    async fn a_change_expects_what_was_read(town) {
        let _hook = town.hook("hook").await;
        let id = town.tube("hook a", "hook b").await.id;
        let read = town.engine.tube(&operator(), &id).await.unwrap().unwrap();
        let version = Some(read.version);
        let paused = town.engine.pause_tube(&operator(), &id, version).await.unwrap().done().unwrap();
        assert!(paused.version > read.version);
        assert_eq!(town.engine.resume_tube(&operator(), &id, version).await.unwrap(), Changed::Stale);
        assert_eq!(town.engine.close_tube(&operator(), &id, version).await.unwrap(), Changed::Stale);
        assert_eq!(town.engine.close_tube(&operator(), &id, Some(paused.version)).await.unwrap(), Changed::Done(()));
        // Made again it is another one, though it has the same id.
        let again = town.tube("hook a", "hook b").await;
        assert_eq!(again.id, id);
        assert_eq!(town.engine.close_tube(&operator(), &id, version).await.unwrap(), Changed::Stale);
    }

    async fn a_side_can_be_made_one_way_by_its_owner_alone(town) {
        let (ours, theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let id = town.tube_of(["operator", "eve"], "ours a", "theirs b").await.id;
        let (a, b) = (town.room("ours a").await, town.room("theirs b").await);
        let engine = &town.engine;
        assert_eq!(engine.set_side(&operator(), &id, &b, Direction::NotIn, None).await.unwrap(), Changed::Gone);
        let set = engine.set_side(&eve(), &id, &b, Direction::NotOut, None).await.unwrap().done().unwrap();
        assert_eq!(set.sides[0].own.as_ref().unwrap().direction, Direction::NotOut);
        theirs.says("bob", "b", "stays here").await;
        ours.says("ann", "a", "comes in").await;
        theirs.shows("b", &[("ann", "comes in")]).await;
        town.settled().await;
        ours.shows("a", &[]).await;
        let map = engine.room_map(&a, Some(&operator())).await.unwrap();
        assert_eq!(map.tubes[0].flow, if map.rooms[map.tubes[0].a].name == "a" { Flow::AToB } else { Flow::BToA });
        assert_eq!(map.rooms.iter().filter(|room| room.mine).count(), 1);
    }

    async fn one_side_moves_to_another_room_and_all_settings_come_with_it(town) {
        let (ours, irc) = (town.hook("ours").await, town.hook("new").await);
        let theirs = town.hook_of("eve", "theirs").await;
        let tube = town.tube_of(["operator", "eve"], "ours a", "theirs b").await;
        let (from, to) = (town.room("ours a").await, town.room("new c").await);
        let options = RoomOptions { author: AuthorStyle::Both, ..RoomOptions::default() };
        let engine = &town.engine;
        engine.set_options(&from, options).await.unwrap();
        let (portal, _) = engine.add_portal(&operator(), &from, &Default::default()).await.unwrap().unwrap();
        let what = Move { from: &from, to: &to, portals: true };
        assert_eq!(engine.move_side(&eve(), &tube.id, &what, None).await.unwrap(), Changed::Gone);
        let moved = engine.move_side(&operator(), &tube.id, &what, Some(tube.version)).await.unwrap().done().unwrap();
        assert_ne!(moved.id, tube.id);
        assert_eq!(engine.room(&to).await.unwrap().unwrap().options, options);
        assert_eq!(engine.portal(&operator(), &portal.id).await.unwrap().unwrap().room, to);
        assert!(engine.tube(&operator(), &tube.id).await.unwrap().is_none());
        assert_eq!(engine.tubes(&eve()).await.unwrap().len(), 1);
        irc.says("ann", "c", "from the new place").await;
        theirs.shows("b", &[("ann", "from the new place")]).await;
        theirs.says("bob", "b", "welcome").await;
        irc.shows("c", &[("bob", "welcome")]).await;
        town.settled().await;
        ours.shows("a", &[]).await;
    }

    async fn a_side_does_not_move_onto_itself_or_where_a_tube_is(town) {
        let _hook = town.hook("hook").await;
        let tube = town.tube("hook a", "hook b").await;
        town.tube("hook c", "hook b").await;
        let [a, b, c] = [town.room("hook a").await, town.room("hook b").await, town.room("hook c").await];
        let to = |to| Move { from: &a, to, portals: false };
        let engine = &town.engine;
        let answer = engine.move_side(&operator(), &tube.id, &to(&b), None).await;
        assert!(matches!(answer, Err(LinkError::SameRoom(_))), "{answer:?}");
        let answer = engine.move_side(&operator(), &tube.id, &to(&c), None).await;
        assert!(matches!(answer, Err(LinkError::AlreadyConnected(_))), "{answer:?}");
        let nowhere = sameroom_model::RoomRef::new(a.account.clone(), "nowhere");
        let answer = engine.move_side(&operator(), &tube.id, &to(&nowhere), None).await;
        assert!(matches!(answer, Err(LinkError::UnknownRoom(_))), "{answer:?}");
        assert_eq!(engine.tubes(&operator()).await.unwrap().len(), 2);
    }

    async fn nobody_connects_a_room_of_somebody_else(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let (a, b) = (town.room("ours a").await, town.room("theirs b").await);
        let answer = town.engine.connect([&eve(), &eve()], [&a, &b], MadeBy::Operator).await;
        assert!(matches!(answer, Err(LinkError::UnknownRoom(_))), "{answer:?}");
    }

    async fn a_renamed_room_is_listed_by_its_new_name(town) {
        let _hook = town.hook("hook").await;
        town.tube("hook a", "hook b").await;
        let b = town.room("hook b").await;
        let settings = serde_json::Value::Null;
        let draft = RoomDraft { key: b.key.clone(), name: "bee".into(), site: "elsewhere".into(), settings };
        town.engine.add_room(&b.account, &draft).await.unwrap();
        let listed = town.engine.tubes_page(&operator(), None, 10).await.unwrap().items;
        assert!(listed[0].sides.iter().any(|side| (side.name.as_str(), side.site.as_str()) == ("bee", "elsewhere")));
    }

    async fn anyone_in_a_room_can_disable_all_its_tubes(town) {
        let (hook, _theirs) = (town.hook("hook").await, town.hook_of("eve", "theirs").await);
        town.tube("hook a", "hook b").await;
        town.tube_of(["operator", "eve"], "hook a", "theirs c").await;
        let a = town.room("hook a").await;
        assert_eq!(town.engine.disable_room(&a).await.unwrap(), 2);
        assert_eq!(town.engine.disable_room(&a).await.unwrap(), 0);
        assert_eq!(town.engine.tubes(&eve()).await.unwrap(), []);
        hook.says("ann", "a", "alone").await;
        town.settled().await;
        hook.shows("b", &[]).await;
    }

    async fn a_removed_account_takes_its_tubes_and_portals_along(town) {
        let (_ours, theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        town.tube_of(["operator", "eve"], "ours a", "theirs b").await;
        let (a, account) = (town.room("ours a").await, town.account("ours"));
        let engine = &town.engine;
        let (portal, token) = engine.add_portal(&operator(), &a, &Default::default()).await.unwrap().unwrap();
        town.settled().await;
        assert!(engine.account_impact(&eve(), &account).await.unwrap().is_none());
        let impact = engine.account_impact(&operator(), &account).await.unwrap().unwrap();
        assert_eq!((impact.tubes.len(), impact.portals.len(), impact.rooms), (1, 1, 1));
        assert!(!engine.remove_account(&eve(), &account).await.unwrap());
        assert!(engine.remove_account(&operator(), &account).await.unwrap());
        assert!(!engine.remove_account(&operator(), &account).await.unwrap());
        assert_eq!(engine.tubes(&eve()).await.unwrap(), []);
        assert!(engine.room(&a).await.unwrap().is_none());
        assert!(engine.invitation(&token).await.unwrap().is_none());
        let kept = engine.portal(&operator(), &portal.id).await.unwrap().unwrap();
        assert_eq!(kept.state, sameroom_model::PortalState::Revoked);
        town.settled().await;
        assert!(town.failed().await.is_empty(), "both sides were told before the account went");
        drop(theirs);
    }

    async fn a_thousand_tubes_are_listed_at_once(town) {
        let _hook = town.hook("hook").await;
        let hub = town.room("hook hub").await;
        let count = 200;
        for n in 0..count {
            let room = town.room(&format!("hook r{n}")).await;
            town.engine.connect([&operator(), &operator()], [&hub, &room], MadeBy::Operator).await.unwrap();
        }
        let begun = Instant::now();
        let page = town.engine.tubes_page(&operator(), None, 1000).await.unwrap();
        let took = begun.elapsed();
        assert_eq!((page.items.len(), page.next), (count, None));
        assert!(took < Duration::from_millis(500), "{took:?}");
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = town.engine.tubes_page(&operator(), after.as_deref(), 7).await.unwrap();
            ids.extend(page.items.into_iter().map(|tube| tube.id));
            after = page.next;
            if after.is_none() { break; }
        }
        assert_eq!(ids, town.engine.tubes(&operator()).await.unwrap().into_iter().map(|tube| tube.id).collect::<Vec<_>>());
    }
}
