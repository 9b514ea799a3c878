//! Who somebody is, as far as a connection of their own goes. It must not know connections.

use std::net::Ipv6Addr;

use aws_lc_rs::hmac;
use sameroom_model::{AccountId, Delivery, UserKey};

/// Somebody with a name: two who are called alike are two, and one who is called otherwise is somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Who {
    /// Where they write.
    account: AccountId,
    /// Who they are there.
    user: UserKey,
    /// The nick to ask for.
    pub(super) nick: String,
}

impl Who {
    /// Whose words these are, where somebody's; `nick` is what they are to be called.
    pub(super) fn of(delivery: &Delivery, nick: String) -> Option<Self> {
        let author = delivery.author.as_ref()?;
        Some(Self { account: delivery.lane.from.account.clone(), user: author.key.clone(), nick })
    }

    /// The address that stands for somebody: theirs for good, so that a server can tell people apart and ban one
    /// alone. Of a unique local prefix (RFC 4193 §3), which nobody on the Internet has; without the secret nothing
    /// follows from it.
    pub(super) fn address(&self, secret: &str) -> Ipv6Addr {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let net = hmac::sign(&key, b"network");
        // The lengths keep what is before and after the border apart.
        let name = format!("{} {} {}", self.account.as_str().len(), self.account, self.user);
        let host = hmac::sign(&key, name.as_bytes());
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..6].copy_from_slice(&net.as_ref()[..5]);
        octets[8..].copy_from_slice(&host.as_ref()[..8]);
        octets.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(account: &str, user: &str, nick: &str) -> Who {
        Who { account: account.into(), user: user.into(), nick: nick.to_owned() }
    }

    #[test]
    fn an_address_stands_for_one_person_whatever_they_are_called() {
        let ann = who("acc", "U1", "ann|sr").address("secret");
        assert_eq!(ann, who("acc", "U1", "annie|sr").address("secret"));
        assert_eq!(ann.octets()[0], 0xfd);
        let others = [
            who("acc", "U2", "ann|sr").address("secret"),
            who("bcc", "U1", "ann|sr").address("secret"),
            who("acc U", "1", "ann|sr").address("secret"),
            who("acc", "U1", "ann|sr").address("another"),
        ];
        assert!(others.iter().all(|other| *other != ann), "{others:?}");
        assert_eq!(others[0].octets()[..8], ann.octets()[..8], "one gateway, one network");
        assert_ne!(others[3].octets()[..8], ann.octets()[..8]);
    }
}
