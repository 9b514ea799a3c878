//! Those who watch what crosses: words are told to those who asked, where they may read them.

use std::time::Duration;

use sameroom_engine::{Crossed, Crossing, Landing, Watching};
use sameroom_tests::worlds::{Mood, WAIT};

/// The next crossing to a room.
async fn next(watching: &mut Watching, to: &str) -> Crossing {
    loop {
        let next = tokio::time::timeout(WAIT, watching.next()).await.expect("something crosses");
        let crossing = next.expect("there is an engine");
        if crossing.to.key.as_str() == to && crossing.kind != Crossed::Notice {
            return crossing;
        }
    }
}

fn text(crossing: &Crossing) -> Option<String> {
    crossing.words.as_ref().map(|words| format!("{}: {}", words.author, words.text))
}

stories! {
    async fn words_are_told_to_those_who_asked_and_may_read_them(town) {
        let eve = town.engine.add_owner("Eve", None).await.unwrap().id;
        let zed = town.engine.add_owner("Zed", None).await.unwrap().id;
        let hook = town.hook("hook").await;
        let hers = town.hook_of(eve.as_str(), "hers").await;
        let tube = town.tube_of(["operator", eve.as_str()], "hook a", "hers b").await;
        town.settled().await;
        let mut plain = town.engine.crossings(None);
        let mut mine = town.engine.crossings(Some("operator".into()));
        let mut theirs = town.engine.crossings(Some(eve.clone()));
        let mut strangers = town.engine.crossings(Some(zed));
        hook.says("ann", "a", "one\u{1b}[2J\r\ntwo").await;
        hers.hears_what("b", "it", |post| post.body["type"] == "message.posted").await;
        assert_eq!(text(&next(&mut plain, "b").await), None);
        assert_eq!(text(&next(&mut strangers, "b").await), None);
        for watching in [&mut mine, &mut theirs] {
            assert_eq!(text(&next(watching, "b").await).as_deref(), Some("ann: one[2J two"));
        }
        // What did not arrive is known to the side alone where it was written.
        hers.is("b", Mood::Refusing);
        hook.says("ann", "a", &"x".repeat(1000)).await;
        let told = next(&mut mine, "b").await;
        assert!(matches!(told.landing, Landing::Failed(_)), "{told:?}");
        let words = told.words.expect("it is ours");
        assert_eq!(words.text.chars().count(), 400);
        assert!(words.text.ends_with('…'));
        assert!(!format!("{words:?}").contains("xxx"), "a formatter shows no words");
        assert_eq!(text(&next(&mut theirs, "b").await), None);
        // Once nobody asks any more none are made.
        drop((mine, theirs));
        hook.says("ann", "a", "three").await;
        assert_eq!(text(&next(&mut strangers, "b").await), None);
        town.cut(&tube).await;
        town.pass(Duration::from_secs(1)).await;
    }
}
