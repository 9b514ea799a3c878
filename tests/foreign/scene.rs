//! What most tests begin with: two servers, a person on each, and our binary between them.

use std::path::Path;

use sameroom_tests::process::{Sameroom, Setup};
use tempfile::TempDir;

use crate::people::Person;
use crate::servers::{Kind, Server};

/// The nick of our binary.
pub(crate) const BOT: &str = "sameroom";

/// Our binary, with a data folder that lives as long.
pub(crate) struct Bridge {
    pub(crate) sameroom: Sameroom,
    _data: TempDir,
}

impl Bridge {
    /// Connects rooms, two by two.
    pub(crate) async fn between(urls: &[String]) -> Self {
        Self::set_up(urls, |setup| setup).await
    }

    /// Likewise, with more options.
    pub(crate) async fn set_up(urls: &[String], more: impl FnOnce(Setup) -> Setup) -> Self {
        let data = TempDir::new().expect("a folder can be made");
        let sameroom = more(Setup::new(data.path(), urls)).start().await;
        Self { sameroom, _data: data }
    }

    /// A file in its data folder.
    pub(crate) fn file(folder: &Path, name: &str, text: &str) -> String {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path.display().to_string()
    }
}

/// Ada on ngIRCd and Ivo on InspIRCd, in #one and #two, which are connected.
pub(crate) struct Pair {
    pub(crate) ada: Person,
    pub(crate) ivo: Person,
    pub(crate) bridge: Bridge,
    pub(crate) ngircd: Server,
    pub(crate) inspircd: Server,
}

impl Pair {
    /// Servers as they are shipped.
    pub(crate) async fn meet() -> Self {
        Self::on(Server::start(Kind::Ngircd).await, Server::start(Kind::Inspircd).await, "").await
    }

    /// Those servers, and what follows a room in its URL.
    pub(crate) async fn on(ngircd: Server, inspircd: Server, more: &str) -> Self {
        let mut ada = Person::joins(&ngircd, "ada", "#one").await;
        let mut ivo = Person::joins(&inspircd, "ivo", "#two").await;
        let bridge = Bridge::between(&[ngircd.room("#one", more), inspircd.room("#two", more)]).await;
        ada.meets(BOT).await;
        ivo.meets(BOT).await;
        Self { ada, ivo, bridge, ngircd, inspircd }
    }
}
