use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::testing::{Script, nets};

fn verdict(allow: &str, address: &str) -> &'static str {
    Guard::new(nets(allow)).kind(address.parse().unwrap()).unwrap_or("ok")
}

#[test]
fn t19_addresses_outside_the_public_internet_are_refused() {
    for (address, kind) in [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "carrier-grade NAT"),
        ("100.127.255.255", "carrier-grade NAT"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("168.63.129.16", "metadata"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.192", "reserved"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.1.1", "private"),
        ("198.18.0.1", "benchmark"),
        ("198.19.255.255", "benchmark"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "v4-mapped"),
        ("::ffff:8.8.8.8", "v4-mapped"),
        ("::7f00:1", "v4-compatible"),
        ("::ffff:0:7f00:1", "v4-translated"),
        ("64:ff9b::7f00:1", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("100::1", "discard"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "benchmark"),
        ("2001:db8::1", "documentation"),
        ("2001:10::1", "reserved"),
        ("2002:7f00:1::", "6to4"),
        ("3fff::1", "documentation"),
        ("4000::1", "reserved"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "metadata"),
        ("fe80::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ] {
        assert_eq!(verdict("", address), kind, "{address}");
    }
    for address in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450:4001::200e",
    ] {
        assert_eq!(verdict("", address), "ok", "{address}");
    }
}

#[test]
fn the_operator_allows_networks_and_nothing_beside_them() {
    for (allow, address, expected) in [
        ("loopback", "127.8.8.8", "ok"),
        ("loopback", "::1", "ok"),
        ("loopback", "::ffff:127.0.0.1", "ok"),
        ("loopback", "10.0.0.1", "private"),
        ("127.0.0.0/8", "::1", "loopback"),
        ("private", "192.168.7.7", "ok"),
        ("private", "fd12::1", "ok"),
        ("private", "fd00:ec2::254", "metadata"),
        ("private", "169.254.169.254", "link-local"),
        ("private", "127.0.0.1", "loopback"),
        ("10.1.2.3", "10.1.2.3", "ok"),
        ("10.1.2.3", "10.1.2.4", "private"),
        ("10.0.0.0/8 ::1", "::1", "ok"),
        ("fd00:ec2::254", "fd00:ec2::254", "ok"),
    ] {
        assert_eq!(verdict(allow, address), expected, "{address}, allowed {allow}");
    }
    for bad in ["", "localhost", "10.0.0.0/33", "10.0.0", "*.internal"] {
        let error = bad.parse::<Net>().unwrap_err().to_string();
        assert!(error.contains("give a CIDR such as 10.0.0.0/8"), "{error}");
    }
}

#[test]
fn t19_low_ports_are_refused_save_those_of_http_mail_and_irc() {
    let guard = Guard::new(Vec::new());
    let open: Vec<_> = (0..=1024).filter(|port| guard.check_port("h", *port).is_ok()).collect();
    assert_eq!(open, [25, 80, 143, 194, 443, 465, 587, 993, 1024]);
    assert!(guard.check_port("h", 6697).is_ok());
    assert_eq!(
        guard.check_port("irc.example.org", 22).unwrap_err().to_string(),
        "irc.example.org: connecting to port 22 is not allowed; use 80, 443, a mail or IRC port, or one from 1024 on"
    );
}

#[tokio::test]
async fn t19_addresses_are_caught_in_every_spelling() {
    let guard = Guard::new(Vec::new());
    for host in [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "0x7f.1",
        "2130706433",
        "017700000001",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        "[::ffff:127.0.0.1]",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "fe80::1%1",
        "１２７.0.0.1",
    ] {
        let denied = guard.addresses(host, 6697).await.unwrap_err();
        // A resolver may not know a spelling; then there is nothing to connect to either.
        let known = matches!(denied, Denied::Forbidden(_)) || host.contains(['%', 'L', 'l']);
        assert!(known, "{host}: {denied}");
    }
}

#[tokio::test]
async fn t19_every_address_of_a_name_is_checked() {
    let guard = Guard::with_lookup(Vec::new(), Script::new("mixed", &["10.0.0.1 1.1.1.1 ::1", "10.0.0.1 ::1"]));
    assert_eq!(guard.addresses("mixed", 443).await.unwrap(), ["1.1.1.1:443".parse().unwrap()]);
    assert_eq!(
        guard.addresses("mixed", 443).await.unwrap_err().to_string(),
        "mixed leads to a loopback address, which is not allowed; the operator can allow its network"
    );
}

#[tokio::test(start_paused = true)]
async fn f55_the_last_good_answer_serves_for_five_minutes() {
    let script = Script::new("flaky", &["1.1.1.1", "", "", ""]);
    let guard = Guard::with_lookup(Vec::new(), script.clone());
    let expected: Vec<IpAddr> = vec!["1.1.1.1".parse().unwrap()];
    assert_eq!(guard.resolve("flaky").await.unwrap(), expected);
    tokio::time::advance(Duration::from_secs(299)).await;
    assert_eq!(guard.resolve("Flaky").await.unwrap(), expected, "names don't differ by case");
    tokio::time::advance(Duration::from_secs(2)).await;
    let denied = guard.resolve("flaky").await.unwrap_err();
    assert_eq!(denied, Denied::NoName("flaky can't be resolved: the resolver is down".into()));
    assert_eq!(script.calls.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn f55_a_resolver_that_hangs_is_not_waited_for() {
    struct Hangs(std::sync::atomic::AtomicBool);
    #[async_trait]
    impl Lookup for Hangs {
        async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            if self.0.swap(true, Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            Ok(vec!["1.1.1.1".parse().unwrap()])
        }
    }
    let guard = Guard::with_lookup(Vec::new(), Hangs(false.into()));
    guard.resolve("slow").await.unwrap();
    let asked = Instant::now();
    guard.resolve("slow").await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(3));
}

proptest! {
    #[test]
    fn wrapping_a_v4_address_never_gets_it_through(bits: u32, form in 0_usize..5) {
        let v4 = u128::from(bits);
        let wrapped = match form {
            0 => v4,
            1 => 0xffff << 32 | v4,
            2 => 0x64_ff9b << 96 | v4,
            3 => 0x2002 << 112 | v4 << 80,
            _ => 0xffff << 48 | v4,
        };
        prop_assert!(Guard::new(Vec::new()).check_address(IpAddr::V6(wrapped.into())).is_err());
    }

    #[test]
    fn parsing_a_net_never_panics(text in "\\PC*") {
        let _ = text.parse::<Net>();
    }
}
