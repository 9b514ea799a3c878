//! The line grammar.

use super::super::codec::{Decoder, LINE_MAX, Unsafe, line, parse};
use super::super::isupport::{Casemapping, Isupport};

#[test]
fn a_line_with_everything() {
    let read = parse(b"@time=2026-11-22T01:38:49.161Z;+draft/reply=a\\:b\\sc\\\\d\\q;x;x=2 :nick!~u@h.test  privmsg   #c   ::-) there ").unwrap();
    assert_eq!(read.tag("time"), Some("2026-11-22T01:38:49.161Z"));
    assert_eq!(read.tag("+draft/reply"), Some("a;b c\\dq"));
    assert_eq!(read.tag("x"), Some("2"));
    let source = read.source.as_ref().unwrap();
    assert_eq!(
        (source.nick.as_str(), source.user.as_deref(), source.host.as_deref()),
        ("nick", Some("~u"), Some("h.test"))
    );
    assert_eq!(
        (read.command.as_str(), read.params.as_slice()),
        ("PRIVMSG", &["#c".to_owned(), ":-) there ".to_owned()][..])
    );
}

#[test]
fn colons_are_a_matter_of_taste() {
    assert_eq!(parse(b":n JOIN :#c").unwrap().params, parse(b":n JOIN #c").unwrap().params);
    assert_eq!(parse(b":n MODE #c +k :sekret").unwrap().params, ["#c", "+k", "sekret"]);
    assert_eq!(parse(b":n PRIVMSG #c :").unwrap().params, ["#c", ""]);
    assert_eq!(parse(b""), None);
    assert_eq!(parse(b":only.source"), None);
    assert_eq!(parse(b"@only=tags"), None);
}

#[test]
fn lines_come_in_any_chunks() {
    let mut decoder = Decoder::default();
    assert!(decoder.feed(b"PING :a\r").is_empty());
    assert_eq!(decoder.feed(b"\nPING :b\n\r\n\nPING"), [b"PING :a".to_vec(), b"PING :b".to_vec()]);
    assert_eq!(decoder.feed(b" :c\r\n"), [b"PING :c".to_vec()]);
    // A line that never ends costs no more than it may.
    for _ in 0..100 {
        assert!(decoder.feed(&[b'x'; 4096]).is_empty());
    }
    assert!(decoder.feed(b"\n")[0].len() < 32 * 1024);
}

#[test]
fn windows_1252_where_a_line_is_not_utf8() {
    assert_eq!(parse(b":n PRIVMSG #c :caf\xe9 \x80").unwrap().params[1], "café €");
    assert_eq!(parse("n PRIVMSG #c :café".as_bytes()).unwrap().params[1..], ["#c", "café"]);
    // A server that cut a line within a character: what is before it is UTF-8 all the same.
    assert_eq!(parse(b":n PRIVMSG #c :caf\xc3\xa9 \xe2\x82").unwrap().params[1], "café ");
}

#[test]
fn t6_no_parameter_can_begin_another_line() {
    for bad in ["a\r", "a\nQUIT", "\0"] {
        assert_eq!(line(&[], "PRIVMSG", &["#c"], Some(bad), LINE_MAX), Err(Unsafe::Break));
        assert_eq!(line(&[], "JOIN", &[bad], None, LINE_MAX), Err(Unsafe::Break));
    }
    for bad in ["", "a b", ":a"] {
        assert_eq!(line(&[], "JOIN", &[bad], None, LINE_MAX), Err(Unsafe::Middle));
    }
    assert_eq!(line(&[], "JOIN #c", &[], None, LINE_MAX), Err(Unsafe::Word));
    assert_eq!(line(&[("a b", "")], "JOIN", &["#c"], None, LINE_MAX), Err(Unsafe::Word));
    assert_eq!(line(&[], "PRIVMSG", &["#c"], Some(&"x".repeat(500)), LINE_MAX), Err(Unsafe::Long));
    assert_eq!(
        line(&[("k", "a;b c\\\r\n")], "TAGMSG", &["#c"], None, LINE_MAX).unwrap(),
        b"@k=a\\:b\\sc\\\\\\r\\n TAGMSG #c\r\n"
    );
}

#[test]
fn names_fold_as_the_server_says() {
    assert_eq!(Casemapping::Ascii.fold("A[]\\~^"), "a[]\\~^");
    assert_eq!(Casemapping::Rfc1459.fold("A[]\\~^"), "a{}|^^");
    assert_eq!(Casemapping::Rfc1459Strict.fold("A[]\\~^"), "a{}|~^");
    assert_eq!(Casemapping::Unicode.fold("ÄA"), "äa");
}

#[test]
fn isupport_is_read() {
    let mut isupport = Isupport::default();
    let tokens = "CASEMAPPING=ascii CHANTYPES=# PREFIX=(qov)~@+ STATUSMSG=@+ NICKLEN=30 LINELEN=1024 CHANLIMIT=#:20 \
                  CHANMODES=b,k,l,imnt TARGMAX=NAMES:1,JOIN:4,PRIVMSG: MONITOR=100 BOT=B UTF8ONLY NETWORK=a\\x20b \
                  CLIENTTAGDENY=*,-draft/reply CHATHISTORY=50";
    isupport.take(tokens.split_ascii_whitespace());
    assert_eq!(isupport.channel_of("@+#x"), Some("#x"));
    assert_eq!(isupport.channel_of("@x"), None);
    assert_eq!(isupport.channel_of("&x"), None);
    assert_eq!(isupport.member("~@nick!u@h"), "nick");
    assert_eq!((isupport.nicklen, isupport.linelen, isupport.limit_of("#a")), (Some(30), 1024, Some(20)));
    assert_eq!((isupport.join_targets, isupport.monitor, isupport.bot), (Some(4), true, Some('B')));
    assert_eq!((isupport.utf8_only, isupport.network.as_deref(), isupport.chathistory), (true, Some("a b"), 50));
    assert!(isupport.denies("draft/react") && !isupport.denies("draft/reply"));
    assert!(isupport.takes_parameter('l', true) && !isupport.takes_parameter('l', false));
    isupport.take(["-LINELEN", "-MONITOR"].into_iter());
    assert_eq!((isupport.linelen, isupport.monitor), (LINE_MAX, false));
}
