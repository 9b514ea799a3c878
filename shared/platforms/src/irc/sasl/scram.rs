//! SCRAM-SHA-256 as a client, without channel binding: a login in which the password is never told, and in which the
//! server proves that it knows it, too. It must not know lines or when a login happens; the nonce is an argument.
//! Source: RFC 5802, with SHA-256 as in RFC 7677.

use std::num::NonZeroU32;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How often the password may be hashed. RFC 7677 asks for the lower bound: fewer would help who wants to find the
/// password out. The upper one is what takes a moment, and no more.
const ITERATIONS: std::ops::RangeInclusive<u32> = 4096..=1_000_000;

/// What is said of channel binding: `n,,` in base64, that there is none.
const NO_BINDING: &str = "biws";

/// One exchange, from our side.
pub(in super::super) struct Scram {
    password: String,
    /// `n=…,r=…`, without what is said of channel binding.
    first: String,
    nonce: String,
    /// What the server has to send to prove itself, once we have proven ourselves.
    expected: Option<[u8; SHA256_OUTPUT_LEN]>,
}

/// Why an exchange can't go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Fault {
    /// Account or password hold a character that must not be sent (RFC 4013).
    Character,
    /// The server named an error itself: with a word of RFC 5802 §7.
    Said(String),
    /// Its message is none of SCRAM, or asks for an extension.
    Garbled,
    /// Its nonce does not go on from ours.
    Nonce,
    /// It wants the password hashed so often.
    Iterations(u64),
    /// It could not prove that it knows the password.
    Signature,
}

impl Scram {
    /// An exchange for an account. The nonce has to be unguessable, another each time, and without commas.
    pub(in super::super) fn new(account: &str, password: &str, nonce: String) -> Result<Self, Fault> {
        let prepared = |text: &str| stringprep::saslprep(text).map(String::from).map_err(|_| Fault::Character);
        let account = prepared(account)?.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={account},r={nonce}");
        Ok(Self { password: prepared(password)?, first, nonce, expected: None })
    }

    /// Our first message.
    pub(in super::super) fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// Our answer to the server's first message (`r=…,s=…,i=…`): the proof that we know the password.
    pub(in super::super) fn answer(&mut self, challenge: &str) -> Result<String, Fault> {
        let Challenge { nonce, salt, iterations } = Challenge::read(challenge)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(Fault::Nonce);
        }
        let times = u32::try_from(iterations).ok().filter(|times| ITERATIONS.contains(times));
        let times = times.and_then(NonZeroU32::new).ok_or(Fault::Iterations(iterations))?;

        let mut salted = [0; SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, times, &salt, self.password.as_bytes(), &mut salted);
        let client = sign(&salted, b"Client Key");
        let stored = digest(&SHA256, &client);
        let bare = format!("c={NO_BINDING},r={nonce}");
        let conversation = format!("{},{challenge},{bare}", self.first);
        let signature = sign(stored.as_ref(), conversation.as_bytes());
        let proof: Vec<u8> = client.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
        self.expected = Some(sign(&sign(&salted, b"Server Key"), conversation.as_bytes()));
        Ok(format!("{bare},p={}", STANDARD.encode(proof)))
    }

    /// Whether we have proven ourselves: from then on a refusal means that the password is wrong.
    pub(in super::super) fn answered(&self) -> bool {
        self.expected.is_some()
    }

    /// The server's last message (`v=…`): whether it knows the password, too.
    pub(in super::super) fn verify(&self, last: &str) -> Result<(), Fault> {
        refusal(last)?;
        let expected = self.expected.as_ref().ok_or(Fault::Garbled)?;
        let signature = last.split(',').next().and_then(|field| field.strip_prefix("v=")).ok_or(Fault::Garbled)?;
        let signature = STANDARD.decode(signature).map_err(|_| Fault::Garbled)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&signature, expected).map_err(|_| Fault::Signature)
    }
}

/// The server's first message, taken apart.
struct Challenge<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u64,
}

impl<'a> Challenge<'a> {
    /// Extensions behind the three fields may be left aside; one before them (`m=`) must not.
    fn read(text: &'a str) -> Result<Self, Fault> {
        refusal(text)?;
        let mut fields = text.split(',');
        let mut field = |name: &str| fields.next().and_then(|field| field.strip_prefix(name)).ok_or(Fault::Garbled);
        let (nonce, salt, iterations) = (field("r=")?, field("s=")?, field("i=")?);
        let salt = STANDARD.decode(salt).map_err(|_| Fault::Garbled)?;
        let iterations = iterations.parse().map_err(|_| Fault::Garbled)?;
        if salt.is_empty() {
            return Err(Fault::Garbled);
        }
        Ok(Self { nonce, salt, iterations })
    }
}

/// `e=…` in place of what was due.
fn refusal(text: &str) -> Result<(), Fault> {
    match text.split(',').next().and_then(|field| field.strip_prefix("e=")) {
        Some(word) => Err(Fault::Said(word.chars().filter(|c| !c.is_control()).take(60).collect())),
        None => Ok(()),
    }
}

fn sign(key: &[u8], message: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn exchange() -> Scram {
        Scram::new("user", "pencil", NONCE.to_owned()).unwrap()
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let mut scram = exchange();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(
            scram.answer(CHALLENGE).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let mut scram = exchange();
        assert_eq!(scram.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Err(Fault::Garbled), "too early");
        scram.answer(CHALLENGE).unwrap();
        assert_eq!(scram.verify("v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Err(Fault::Signature));
        assert_eq!(scram.verify("v="), Err(Fault::Signature));
        assert_eq!(scram.verify(""), Err(Fault::Garbled));
        assert_eq!(scram.verify("e=invalid-proof"), Err(Fault::Said("invalid-proof".into())));
    }

    #[test]
    fn challenges_that_are_none() {
        let nonce = "r=rOprNGfwEbeRWgbNEkqOx";
        for (challenge, fault) in [
            ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096".to_owned(), Fault::Nonce),
            ("r=somethingelsealtogether,s=W22Z,i=4096".to_owned(), Fault::Nonce),
            (format!("{nonce},s=W22Z,i=4095"), Fault::Iterations(4095)),
            (format!("{nonce},s=W22Z,i=1000001"), Fault::Iterations(1_000_001)),
            (format!("{nonce},s=W22Z,i=99999999999"), Fault::Iterations(99_999_999_999)),
            (format!("{nonce},s=W22Z,i=-1"), Fault::Garbled),
            (format!("{nonce},s=,i=4096"), Fault::Garbled),
            (format!("{nonce},s=!,i=4096"), Fault::Garbled),
            (format!("{nonce},i=4096"), Fault::Garbled),
            (format!("m=new,{nonce},s=W22Z,i=4096"), Fault::Garbled),
            ("e=unknown-user".to_owned(), Fault::Said("unknown-user".into())),
            (String::new(), Fault::Garbled),
        ] {
            assert_eq!(exchange().answer(&challenge), Err(fault), "{challenge}");
        }
        assert!(
            exchange().answer(&format!("{nonce},s=W22Z,i=4096,x=later")).is_ok(),
            "extensions behind are left aside"
        );
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        // RFC 5802 §5.1 for the signs, RFC 4013 for the rest: a soft hyphen is nothing, a ligature its letters.
        let scram = Scram::new("a=b,c", "I\u{ad}X", "n".to_owned()).unwrap();
        assert_eq!((scram.first().as_str(), scram.password.as_str()), ("n,,n=a=3Db=2Cc,r=n", "IX"));
        assert_eq!(Scram::new("a", "\u{2168}", "n".to_owned()).unwrap().password, "IX");
        assert_eq!(Scram::new("a", "bell\u{7}", "n".to_owned()).err(), Some(Fault::Character));
    }

    proptest! {
        #[test]
        fn t6_nothing_that_a_server_says_is_more_than_a_fault(
            challenge in "(r=rOprNGfwEbeRWgbNEkqO)?[ -~é]{0,60}",
            last in "(v=)?[ -~é]{0,60}",
        ) {
            let mut scram = exchange();
            prop_assert!(scram.answer(&challenge).is_err());
            prop_assert!(scram.verify(&last).is_err());
        }
    }
}
