//! More rooms than two: each message is in each room once.

use std::time::Duration;

use crate::people::{Person, SOON};
use crate::scene::{BOT, Bridge};
use crate::servers::{Kind, Server};

/// How long to listen for a copy that should not come.
const QUIET: Duration = Duration::from_secs(3);

#[tokio::test]
async fn f60_a_triangle_has_one_copy_in_each_room() {
    let (a, b, c) =
        (Server::start(Kind::Ngircd).await, Server::start(Kind::Inspircd).await, Server::start(Kind::Ngircd).await);
    let mut people = Vec::new();
    for (server, name) in [(&a, "ada"), (&b, "ben"), (&c, "cyd")] {
        people.push(Person::joins(server, name, "#room").await);
    }
    let room = |server: &Server| server.room("#room", "");
    let urls = [room(&a), room(&b), room(&b), room(&c), room(&c), room(&a)];
    let _bridge = Bridge::between(&urls).await;
    for person in &mut people {
        person.meets(BOT).await;
    }
    check(&mut people, &["ada", "ben", "cyd"], &["#room", "#room", "#room"]).await;
}

#[tokio::test]
async fn f60_three_channels_of_one_connection_have_one_copy_each() {
    let server = Server::start(Kind::Inspircd).await;
    let names = ["ada", "ben", "cyd"];
    let rooms = ["#a", "#b", "#c"];
    let mut people = Vec::new();
    for (name, room) in names.iter().zip(rooms) {
        people.push(Person::joins(&server, name, room).await);
    }
    let url = |room: &str| server.room(room, "");
    let _bridge = Bridge::between(&[url("#a"), url("#b"), url("#b"), url("#c"), url("#c"), url("#a")]).await;
    for person in &mut people {
        person.meets(BOT).await;
    }
    check(&mut people, &names, &rooms).await;
}

/// Each says something, and the others hear it once, and nobody hears themselves.
async fn check(people: &mut [Person], names: &[&str; 3], rooms: &[&str; 3]) {
    for (person, (name, room)) in people.iter_mut().zip(names.iter().zip(rooms)) {
        person.says(room, &format!("I am {name}")).await;
    }
    for (i, person) in people.iter_mut().enumerate() {
        let mut heard = vec![person.next_line(SOON).await, person.next_line(SOON).await];
        heard.extend(person.hears_no_more(QUIET).await);
        heard.sort();
        let others: Vec<String> = (0..3).filter(|j| *j != i).map(|j| format!("<{0}> I am {0}", names[j])).collect();
        assert_eq!(heard, others, "what {} hears", names[i]);
    }
}
