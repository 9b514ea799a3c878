//! Owners, their API keys, and what they are told of changes.

use std::collections::BTreeSet;
use std::time::Duration;

use sameroom_engine::{ChangeKind, Changed, OwnerChange};
use sameroom_model::{Owner, OwnerId, Scope};
use secrecy::{ExposeSecret, SecretString};

fn operator() -> OwnerId {
    Owner::OPERATOR.into()
}

stories! {
    async fn the_operator_is_always_there_and_others_are_added(town) {
        assert_eq!(town.engine.owner(&operator()).await.unwrap().unwrap().name, "Operator");
        let eve = town.engine.add_owner("Eve\r\nPRIVMSG", Some("eve@example.com")).await.unwrap();
        assert!(!eve.name.contains('\n'));
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = town.engine.owners(after.as_deref(), 1).await.unwrap();
            all.extend(page.items.into_iter().map(|owner| owner.id));
            after = page.next;
            if after.is_none() { break; }
        }
        assert_eq!(all, [operator(), eve.id.clone()]);
        let change = OwnerChange { name: Some("Eva".into()), mail: Some(None) };
        let changed = town.engine.change_owner(&eve.id, &change, Some(eve.version)).await.unwrap().done().unwrap();
        assert_eq!((changed.name.as_str(), changed.mail), ("Eva", None));
        assert_eq!(town.engine.change_owner(&eve.id, &change, Some(eve.version)).await.unwrap(), Changed::Stale);
        assert_eq!(town.engine.change_owner(&"nobody".into(), &change, None).await.unwrap(), Changed::Gone);
        assert!(town.engine.owner(&"nobody".into()).await.unwrap().is_none());
    }

    async fn a_key_is_good_until_it_is_revoked(town) {
        let engine = &town.engine;
        let scopes = BTreeSet::from([Scope::Tubes]);
        let (key, token) = engine.add_key(&operator(), "deploy", &scopes, None).await.unwrap().unwrap();
        assert!(token.expose_secret().starts_with("sr_") && token.expose_secret().starts_with(&key.hint));
        let caller = engine.authenticate(&token).await.unwrap().unwrap();
        assert_eq!((&caller.owner, &caller.key), (&operator(), &key.id));
        assert!(caller.may(Scope::Read) && caller.may(Scope::Tubes));
        assert!(!caller.may(Scope::Portals) && !caller.may(Scope::Admin));
        // Twice is once: the second proof comes from memory, and not a word of it is written for a minute.
        assert_eq!(engine.authenticate(&token).await.unwrap().unwrap(), caller);
        for _ in 0..100 {
            if engine.key(&operator(), &key.id).await.unwrap().unwrap().last_used.is_some() { break; }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(engine.key(&operator(), &key.id).await.unwrap().unwrap().last_used.is_some());
        for wrong in ["", "sr_", "sr_x", &format!("{}x", token.expose_secret()), &token.expose_secret().replace("sr_", "sx_")] {
            assert!(engine.authenticate(&SecretString::from(wrong.to_owned())).await.unwrap().is_none());
        }
        // Nobody else's.
        assert!(engine.key(&"eve".into(), &key.id).await.unwrap().is_none());
        assert!(engine.revoke_key(&"eve".into(), &key.id).await.unwrap().is_none());
        assert!(engine.authenticate(&token).await.unwrap().is_some());
        assert!(engine.revoke_key(&operator(), &key.id).await.unwrap().unwrap().revoked.is_some());
        assert!(engine.authenticate(&token).await.unwrap().is_none());
        let kept = engine.keys(&operator(), None, 10).await.unwrap().items;
        assert_eq!((kept.len(), kept[0].revoked.is_some()), (1, true));
        assert!(engine.add_key(&"nobody".into(), "x", &scopes, None).await.unwrap().is_none());
    }

    async fn a_key_ends_by_itself(town) {
        let now = town.engine.clock().now();
        let scopes = BTreeSet::from([Scope::Admin]);
        let past = town.engine.add_key(&operator(), "old", &scopes, Some(now)).await.unwrap().unwrap();
        assert!(town.engine.authenticate(&past.1).await.unwrap().is_none());
        let soon = now.checked_add(Duration::from_secs(3600)).unwrap();
        let good = town.engine.add_key(&operator(), "new", &scopes, Some(soon)).await.unwrap().unwrap();
        assert_eq!(town.engine.authenticate(&good.1).await.unwrap().unwrap().scopes, Scope::ALL.into());
    }

    async fn whoever_comes_again_misses_no_change(town) {
        let mut live = town.engine.watch(&operator(), None).await.unwrap();
        let start = town.engine.last_change(&operator()).await.unwrap();
        let _hook = town.hook("hook").await;
        let tube = town.tube("hook a", "hook b").await;
        town.cut(&tube).await;
        let wanted = [ChangeKind::AccountChanged, ChangeKind::RoomChanged, ChangeKind::TubeMade, ChangeKind::TubeRemoved];
        let mut kinds = Vec::new();
        while !wanted.iter().all(|kind| kinds.contains(kind)) {
            let since = tokio::time::timeout(Duration::from_secs(20), live.next()).await.unwrap().unwrap();
            assert!(!since.missed);
            kinds.extend(since.changes.into_iter().map(|change| change.kind));
        }
        // The same again, one by one, as by Last-Event-ID.
        let (mut at, mut seen) = (start, Vec::new());
        loop {
            let since = town.engine.changes_since(&operator(), at, 1).await.unwrap();
            let Some(change) = since.changes.first() else { break };
            assert_eq!((change.seq, since.next, since.missed), (at + 1, at + 1, false));
            (at, seen) = (since.next, [seen, vec![change.kind]].concat());
        }
        assert_eq!(seen[..kinds.len()], kinds[..]);
        // A number that never was, and another owner's changes.
        assert!(town.engine.changes_since(&operator(), at + 5, 10).await.unwrap().missed);
        assert_eq!(town.engine.changes_since(&"eve".into(), 0, 10).await.unwrap().changes, []);
    }
}
