//! Tubes as their owners manage them.

use std::time::{Duration, Instant};

use sameroom_engine::{Changed, Flow, LinkError, Move, keys};
use sameroom_model::{AuthorStyle, Direction, MadeBy, OwnerId, PortalOptions, RoomOptions, Tube, TubeId, TubeState};
use sameroom_platforms::RoomDraft;
use sameroom_tests::worlds::{Kind, Town};

fn operator() -> OwnerId {
    "operator".into()
}

fn eve() -> OwnerId {
    "eve".into()
}

stories! {
    async fn whatever_is_done_around_rooms_at_once_they_know_their_leaves(town) {
        let _hook = town.hook("hook").await;
        let mut rooms = Vec::new();
        for n in 0..5 {
            rooms.push(town.room(&format!("hook {n}")).await);
        }
        // Every pair of rooms, over and over: connected, closed, moved, and one of them told to want something else.
        let tasks: Vec<_> = (0..24_usize).map(|n| {
            let (engine, rooms) = (town.engine.clone(), rooms.clone());
            tokio::spawn(async move {
                let [a, b] = [&rooms[n % 5], &rooms[(n + 1 + n / 5) % 5]];
                let Ok(linked) = engine.connect([&operator(), &operator()], [a, b], MadeBy::Operator).await else { return };
                match n % 4 {
                    0 => drop(engine.remove_tube(&operator(), &linked.tube.id).await.unwrap()),
                    1 => {
                        let what = Move { from: a, to: &rooms[(n + 3) % 5], portals: false };
                        drop(engine.move_side(&operator(), &linked.tube.id, &what, None).await);
                    }
                    2 => {
                        let options = RoomOptions { team: n % 8 == 2, ..RoomOptions::default() };
                        engine.set_options(a, options).await.unwrap().unwrap();
                    }
                    _ => {}
                }
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        town.settled().await;
        town.leaves().await;
        // Down to two rooms and one Tube, where each is the other's leaf.
        for tube in engine_tubes(town).await {
            town.engine.remove_tube(&operator(), &tube).await.unwrap();
        }
        town.tube("hook 0", "hook 1").await;
    }

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
        ours.says("ann", "a", "open").await;
        theirs.shows("b", &[("ann", "open")]).await;
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
        town.pass(Duration::from_millis(1)).await;
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

    async fn whatever_two_owners_do_at_once_all_rows_agree(town) {
        let (_ours, _theirs) = (town.hook("ours").await, town.hook_of("eve", "theirs").await);
        let mut rooms = Vec::new();
        for n in 0..3 {
            rooms.push((operator(), town.room(&format!("ours r{n}")).await));
            rooms.push((eve(), town.room(&format!("theirs r{n}")).await));
        }
        let (_, token) =
            town.engine.add_portal(&operator(), &rooms[0].1, &PortalOptions::default()).await.unwrap().unwrap();
        let tasks: Vec<_> = (0..8u64).map(|task| {
            let (engine, rooms, token) = (town.engine.clone(), rooms.clone(), token.clone());
            tokio::spawn(async move {
                let mut dice = task * 7919 + 1;
                let mut below = |n: usize| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (dice >> 33) as usize % n
                };
                for _ in 0..12 {
                    let ((a, at), (b, to)) = (&rooms[below(6)], &rooms[below(6)]);
                    let tubes = engine.tubes(a).await.unwrap();
                    let tube = tubes.get(below(tubes.len().max(1))).map(|tube| tube.id.clone());
                    match (below(7), tube) {
                        (0, Some(id)) => drop(engine.close_tube(a, &id, None).await.unwrap()),
                        (1, Some(id)) => drop(engine.pause_tube(a, &id, None).await.unwrap()),
                        (2, Some(id)) => drop(engine.resume_tube(a, &id, None).await.unwrap()),
                        (3, Some(id)) => {
                            drop(engine.move_side(a, &id, &Move { from: at, to, portals: below(2) == 0 }, None).await);
                        }
                        (4, _) => drop(engine.use_portal(&token, a, at).await),
                        _ => drop(engine.connect([a, b], [at, to], MadeBy::Command).await),
                    }
                }
            })
        }).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let (mine, hers) = (town.engine.tubes(&operator()).await.unwrap(), town.engine.tubes(&eve()).await.unwrap());
        for (owner, at) in &rooms {
            let partition = keys::join(&["room", at.account.as_str(), at.key.as_str()]);
            let kept = town.engine.store().query(&partition, "tube/", None, 100).await.unwrap();
            let kept: Vec<Tube> = kept.iter().map(|(_, row)| serde_json::from_slice(&row.body).unwrap()).collect();
            let listed = if *owner == eve() { &hers } else { &mine };
            let listed = listed.iter().filter(|tube| tube.ends.iter().any(|end| end.room == *at));
            assert_eq!(kept, listed.cloned().collect::<Vec<_>>());
            for tube in kept {
                let paused = tube.ends.iter().any(|end| end.paused);
                assert_eq!(tube.state == TubeState::Paused, paused);
                assert!(tube.ends.iter().all(|end| rooms.contains(&(end.owner.clone(), end.room.clone()))));
                assert!(town.engine.tube(owner, &tube.id).await.unwrap().is_some());
            }
        }
        // Every change was told once, and in order.
        let told = town.engine.changes_since(&operator(), 0, 10_000).await.unwrap();
        assert!(told.changes.iter().enumerate().all(|(n, change)| change.seq == n as u64 + 1));
    }
}

/// One query a page, whatever an owner has: the bound is ten times what is promised, for debug builds on a busy machine.
#[tokio::test]
async fn a_thousand_tubes_are_listed_at_once() {
    let town = Town::resting(Kind::Disk, |_| ()).await;
    let _hook = town.hook("hook").await;
    let mut rooms = Vec::new();
    let mut count = 0;
    // Each room with each other.
    while count < 1000 {
        let room = town.room(&format!("hook r{}", rooms.len())).await;
        for other in rooms.iter().take(1000 - count) {
            town.engine.connect([&operator(), &operator()], [&room, other], MadeBy::Operator).await.unwrap();
            count += 1;
        }
        rooms.push(room);
    }
    let begun = Instant::now();
    let page = town.engine.tubes_page(&operator(), None, 1000).await.unwrap();
    let took = begun.elapsed();
    println!("1000 Tubes listed in {took:?}");
    assert_eq!((page.items.len(), page.next), (1000, None));
    assert!(took < Duration::from_millis(500), "{took:?}");
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = town.engine.tubes_page(&operator(), after.as_deref(), 170).await.unwrap();
        ids.extend(page.items.into_iter().map(|tube| tube.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, page.items.into_iter().map(|tube| tube.id).collect::<Vec<_>>());
    let map = town.engine.network_map(&operator()).await.unwrap();
    assert_eq!((map.rooms.len(), map.tubes.len(), map.more), (rooms.len(), 1000, false));
}

async fn engine_tubes(town: &Town) -> Vec<TubeId> {
    town.engine.tubes(&operator()).await.unwrap().into_iter().map(|tube| tube.id).collect()
}
