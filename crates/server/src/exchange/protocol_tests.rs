//! Properties of the protocol: what is said is understood, and nothing that a stranger says does harm.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use super::*;
use proptest::prelude::*;

fn entry() -> impl Strategy<Value = Entry> {
    let name = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        ".{0,40}".prop_map(String::into_bytes)
    ];
    let time = (any::<i64>(), 0..1_000_000_000_u32)
        .prop_map(|(seconds, nanoseconds)| Time { seconds, nanoseconds });
    let kind = prop_oneof![Just(Kind::File), Just(Kind::Directory), Just(Kind::Stream)];
    let size = 0..i64::MAX as u64;
    (name, kind, size, prop::option::of(time), prop::option::of(0..=0o7777_u32)).prop_map(
        |(name, kind, size, modified, mode)| {
            let size = (kind == Kind::File).then_some(size);
            Entry { name: Name(name), kind, size, modified, mode }
        },
    )
}

fn sum() -> impl Strategy<Value = Sum> {
    any::<[u8; 32]>().prop_map(|bytes| Sum(blake3::Hash::from_bytes(bytes)))
}

fn message() -> impl Strategy<Value = Message> {
    let have = prop_oneof![
        Just(Have::Nothing),
        (any::<u64>(), sum()).prop_map(|(len, blake3)| Have::Prefix { len, blake3 }),
        ".{0,40}".prop_map(|message| Have::Refused { message }),
    ];
    let outcome =
        prop_oneof![Just(Outcome::Arrived), Just(Outcome::Differs), Just(Outcome::Incomplete)];
    prop_oneof![
        (".{0,40}", any::<bool>(), prop::option::of(any::<u64>())).prop_map(
            |(program, checksum, total)| {
                Message::Hello { role: Role::Send, program, checksum, total }
            }
        ),
        prop::collection::vec(entry(), 1..MAX_FILES).prop_map(|files| Message::Offer { files }),
        prop::collection::vec(have, 0..MAX_FILES).prop_map(|files| Message::Have { files }),
        any::<u64>().prop_map(|from| Message::Begin { from }),
        prop::option::of(sum()).prop_map(|blake3| Message::End { blake3 }),
        (".{0,40}", any::<u64>()).prop_map(|(message, good)| Message::Broken { message, good }),
        outcome.prop_map(|outcome| Message::Result { outcome }),
        Just(Message::Done),
        (".{0,40}", any::<bool>()).prop_map(|(message, again)| Message::Failed { message, again }),
    ]
}

proptest! {
    #[test]
    fn what_is_said_is_understood(message in message()) {
        let bytes = encode(&message).unwrap();
        let (head, body) = bytes.split_at(4);
        prop_assert_eq!(message_len(head.try_into().unwrap()), Ok(body.len()));
        prop_assert_eq!(decode(body), Ok(message));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_byte_that_was_changed_does_no_harm(
        message in message(),
        at in any::<prop::sample::Index>(),
        to in any::<u8>(),
    ) {
        let mut bytes = encode(&message).unwrap();
        let at = 4 + at.index(bytes.len() - 4);
        bytes[at] = to;
        let _ = decode(&bytes[4..]);
    }

    #[test]
    fn lengths_are_bounded(head in any::<[u8; 4]>()) {
        prop_assert!(message_len(head).is_ok_and(|len| len <= MAX_MESSAGE) || message_len(head).is_err());
        prop_assert!(chunk_len(head).is_ok_and(|len| len <= MAX_CHUNK) || chunk_len(head).is_err());
    }
}

#[test]
fn nonsense_is_refused() {
    let file = |rest: &str| {
        format!(r#"{{"type":"offer","files":[{{"name":"a","kind":"file","size":1{rest}}}]}}"#)
    };
    assert!(decode(file("").as_bytes()).is_ok());
    for bad in [
        String::new(),
        "null".into(),
        "{}".into(),
        r#"{"type":"offer","files":[]}"#.into(),
        r#"{"type":"offer","files":[{"name":"a","kind":"file"}]}"#.into(),
        r#"{"type":"offer","files":[{"name":"a","kind":"directory","size":1}]}"#.into(),
        r#"{"type":"offer","files":[{"name":"a","kind":"file","size":9223372036854775808}]}"#
            .into(),
        r#"{"type":"offer","files":[{"name":"a","kind":"file","size":-1}]}"#.into(),
        r#"{"type":"end","blake3":"abc"}"#.into(),
        r#"{"type":"something else"}"#.into(),
        file(r#","mode":65536"#),
        file(r#","modified":{"seconds":0,"nanoseconds":1000000000}"#),
        "[".repeat(50_000),
    ] {
        assert!(decode(bad.as_bytes()).is_err(), "{bad:.80}");
    }
    let entry = r#"{"name":"a","kind":"directory"},"#.repeat(MAX_FILES + 1);
    let many = format!(r#"{{"type":"offer","files":[{}]}}"#, entry.trim_end_matches(','));
    assert!(decode(many.as_bytes()).is_err());
    let long = format!(
        r#"{{"type":"offer","files":[{{"name":"{}","kind":"directory"}}]}}"#,
        "x".repeat(MAX_NAME + 1)
    );
    assert!(decode(long.as_bytes()).is_err());
}

#[test]
fn texts_of_strangers_are_shortened() {
    let message = Message::Failed { message: "ä".repeat(5000), again: false };
    let Ok(Message::Failed { message, .. }) = decode(&encode(&message).unwrap()[4..]) else {
        panic!("it is no nonsense")
    };
    assert_eq!(message.chars().count(), MAX_TEXT);
}

#[test]
fn what_is_too_long_is_not_said() {
    let message = Message::Failed { message: "x".repeat(MAX_MESSAGE), again: false };
    assert!(encode(&message).is_err());
}
