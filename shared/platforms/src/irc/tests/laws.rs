//! The laws of every platform, kept by one connection, and by several where people have their own.

use sameroom_model::RoomKey;
use url::Url;

use crate::irc::Irc;
use crate::suite::{Fixture, Held, opened};
use crate::{Joined, Platform as _};

/// Registration as ngIRCd has it, a login, words of somebody, and an answer to the first barrier.
const TRANSCRIPT: &[u8] = b":irc.test CAP * LS :multi-prefix echo-message\r\n\
:irc.test CAP * ACK :echo-message multi-prefix\r\n\
:irc.test 001 sameroom :Welcome to the Internet Relay Network sameroom!~sameroom@localhost\r\n\
:irc.test 005 sameroom CASEMAPPING=ascii CHANTYPES=# NICKLEN=30 PREFIX=(ov)@+ :are supported on this server\r\n\
:irc.test 422 sameroom :MOTD file is missing\r\n\
:sameroom!~sameroom@localhost JOIN :#tea\r\n\
:irc.test 353 sameroom = #tea :@ann sameroom\r\n\
:irc.test 366 sameroom #tea :End of NAMES list\r\n\
:ann!~a@localhost PRIVMSG #tea :caf\xe9, \x02anyone\x02?\r\n\
:ann!~a@localhost PRIVMSG #tea :\x01ACTION waves\x01\r\n\
:irc.test PONG irc.test :sr2\r\n\
PING :irc.test\r\n\
:ann!~a@localhost NICK :anna\r\n\
:op!~o@localhost KICK #tea anna :bye\r\n\
:irc.test 404 sameroom #tea :Cannot send to channel\r\n\
:op!~o@localhost KICK #tea sameroom :you too\r\n";

fn fixture(server: &str) -> Fixture {
    let located = Irc.locate(&Url::parse(server).unwrap()).unwrap();
    Fixture {
        platform: &Irc,
        account: opened(located.account),
        urls: &[
            "irc://irc.example.org/#tea",
            "ircs://bot:{secret}@irc.example.org:6697/#tea?key=of-the-room",
            "ircs://irc.example.org/##tea?puppets=20&webirc={secret}&rate=2",
        ],
        fields: &[("url", "irc.example.org"), ("nick", "bot"), ("account", "bot"), ("password", "{secret}")],
        room: "#tea",
        message: "msgid-1",
        inbound: None,
        outbound: None,
        session: Some(Held {
            transcript: TRANSCRIPT,
            joined: Joined {
                key: RoomKey::from("#tea"),
                name: "#tea".to_owned(),
                settings: serde_json::Value::Null,
                seen: None,
            },
            answer: b"",
        }),
    }
}

mod one {
    platform_tests!(super::fixture("irc://:correct-horse@irc.example.org/#tea"));
}

mod several {
    platform_tests!(super::fixture("irc://:correct-horse@irc.example.org/#tea?puppets=3&webirc=battery-staple"));
}
