//! A sick or slow target delays itself alone. Shown by cause and effect, never by the clock: the others hear everything
//! while the sick one has heard nothing more.

use std::time::Duration;

use sameroom_model::TubeState;
use sameroom_tests::worlds::{Hook, Kind, Mood, Town};

/// Room `a` talks to `sick` and `well`, room `x` of the same world to `y`.
async fn three_tubes(town: &Town, mood: Mood) -> Hook {
    let hook = town.hook("hook").await;
    town.tube("hook a", "hook sick").await;
    town.tube("hook a", "hook well").await;
    town.tube("hook x", "hook y").await;
    town.settled().await;
    hook.is("sick", mood);
    hook
}

async fn talk(hook: &Hook) -> Vec<String> {
    let wanted: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for text in &wanted {
        hook.says("ann", "a", text).await;
        hook.says("bob", "x", text).await;
    }
    hook.hears("well", "ann", "19").await;
    hook.hears("y", "bob", "19").await;
    assert_eq!(hook.texts("well"), wanted);
    assert_eq!(hook.texts("y"), wanted);
    wanted
}

stories! {
    async fn a_target_that_does_not_answer_leaves_the_others_alone(town) {
        let hook = three_tubes(town, Mood::Held).await;
        let wanted = talk(&hook).await;
        assert_eq!(hook.texts("sick").len(), 0);
        hook.is("sick", Mood::Well);
        town.settled().await;
        assert_eq!(hook.texts("sick"), wanted);
    }

    async fn a_target_that_takes_half_a_second_leaves_the_others_alone(town) {
        let hook = three_tubes(town, Mood::Slow(std::time::Duration::from_millis(500))).await;
        let wanted = talk(&hook).await;
        assert!(hook.texts("sick").len() < 20);
        hook.is("sick", Mood::Well);
        town.settled().await;
        assert_eq!(hook.texts("sick"), wanted);
    }

    async fn f16_a_target_that_is_busy_leaves_the_others_alone(town) {
        let hook = three_tubes(town, Mood::Busy(Some(1))).await;
        let wanted = talk(&hook).await;
        assert_eq!(hook.texts("sick").len(), 0);
        hook.is("sick", Mood::Well);
        town.settled().await;
        assert_eq!(hook.texts("sick"), wanted);
    }

    async fn f19_a_target_that_ails_leaves_the_others_alone(town) {
        let hook = three_tubes(town, Mood::Ailing).await;
        let wanted = talk(&hook).await;
        assert_eq!(hook.texts("sick").len(), 0);
        hook.is("sick", Mood::Well);
        town.settled().await;
        assert_eq!(hook.texts("sick"), wanted);
    }
}

#[tokio::test]
async fn what_waits_for_a_paused_tube_goes_on_as_soon_as_it_is_resumed() {
    let town = Town::of(Kind::Memory).await;
    let hook = town.hook("hook").await;
    let tube = town.tube("hook a", "hook b").await;
    town.settled().await;
    hook.script("b", [Mood::Ailing]);
    hook.says("ann", "a", "hi").await;
    town.store.quiet().await;
    town.set_tube(&tube, TubeState::Paused).await;
    town.pass(Duration::from_secs(5)).await;
    let parked = async || {
        let view = town.engine.tube(&"operator".into(), &tube.id).await.unwrap().expect("it is there");
        view.sides.into_iter().find_map(|side| side.parked)
    };
    assert!(parked().await.is_some_and(|why| why.contains("paused")));
    // The clock stands still from here on.
    town.set_tube(&tube, TubeState::Open).await;
    hook.hears("b", "ann", "hi").await;
    town.settled().await;
    assert!(parked().await.is_none());
    town.law().await;
}
