//! Networks: those that are never reached unless the operator allows them, and those that the operator names. Data and
//! its parsing; who asks, and about what, is not known here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A network that the operator allows: a CIDR (`10.0.0.0/8`), one address (`10.1.2.3`, `::1`), or a word: `loopback`
/// (`127.0.0.0/8` and `::1`) or `private` (RFC 1918, and RFC 4193 without the metadata service in `fd00:ec2::/32`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    text: String,
    within: Vec<IpNet>,
    without: Vec<IpNet>,
}

/// Not a network: what was given, and what would do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; give a CIDR such as 10.0.0.0/8, an address, or one of: loopback, private")]
pub struct BadNet(String);

impl Net {
    /// Whether an address lies in it. A v4 address in v6 clothes (`::ffff:10.0.0.1`) counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let in_any = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&address));
        in_any(&self.within) && !in_any(&self.without)
    }
}

impl FromStr for Net {
    type Err = BadNet;

    fn from_str(text: &str) -> Result<Self, BadNet> {
        let text = text.trim();
        let (within, without) = match text {
            "loopback" => (vec![v4(127, 0, 0, 0, 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)], Vec::new()),
            "private" => (
                vec![v4(10, 0, 0, 0, 8), v4(172, 16, 0, 0, 12), v4(192, 168, 0, 0, 16), ULA],
                vec![v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32)],
            ),
            cidr if cidr.contains('/') => (vec![cidr.parse().map_err(|_| BadNet(text.into()))?], Vec::new()),
            address => (vec![IpNet::from(address.parse::<IpAddr>().map_err(|_| BadNet(text.into()))?)], Vec::new()),
        };
        Ok(Self { text: text.into(), within, without })
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What kind of address this is, if it is none of the public internet's.
///
/// Sources: IANA's special-purpose registries for IPv4 and IPv6
/// (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
/// <https://www.iana.org/assignments/iana-ipv6-special-registry>), and the metadata services of large clouds.
pub(crate) fn unreachable_kind(address: IpAddr) -> Option<&'static str> {
    let listed = SPECIAL.iter().find(|(net, _)| net.contains(&address)).map(|(_, kind)| *kind);
    match address {
        IpAddr::V4(_) => listed,
        // All global unicast addresses lie in 2000::/3 (RFC 4291, section 2.4); what is outside and not listed has no
        // use yet.
        IpAddr::V6(_) if !GLOBAL_V6.contains(&address) => Some(listed.unwrap_or("reserved")),
        IpAddr::V6(_) => listed,
    }
}

const GLOBAL_V6: IpNet = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
const ULA: IpNet = v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7);

/// The first match names the kind; so exceptions stand before what holds them.
const SPECIAL: &[(IpNet, &str)] = &[
    (v4(0, 0, 0, 0, 8), "unspecified"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "carrier-grade NAT"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    // Azure's, the one metadata service with a public address.
    (v4(168, 63, 129, 16, 32), "metadata"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "reserved"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 88, 99, 0, 24), "6to4"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(198, 18, 0, 0, 15), "benchmark"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "unspecified"),
    (v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "v4-compatible"),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96), "v4-mapped"),
    (v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "v4-translated"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "NAT64"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "NAT64"),
    (v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64), "discard"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "Teredo"),
    (v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48), "benchmark"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "reserved"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
    (v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0], 32), "metadata"),
    (ULA, "private"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits))
}

const fn v6(s: [u16; 8], bits: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), bits))
}
