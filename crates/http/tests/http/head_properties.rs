//! Properties of head parsing that hold for any input.

use proptest::prelude::*;
use sendrail_http::head::{Framing, HeadLimits, Parsed, Version, parse, worth_parsing};

/// Lines a head could be made of, good and bad, and what can be done to them.
fn head_like() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Host: example.com"),
        Just("Host: a:80"),
        Just("Content-Length: 5"),
        Just("Content-Length: 50"),
        Just("Transfer-Encoding: chunked"),
        Just("Connection: close"),
        Just("Range: bytes=0-5"),
        Just("If-None-Match: \"a\", W/\"b\""),
        Just("If-Range: \"a\""),
        Just("X: "),
        Just(" folded"),
        Just("User-Agent: a b c"),
    ];
    let end =
        prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("\r\r\n")];
    let start = prop_oneof![
        4 => Just("GET /a/b?c HTTP/1.1"),
        1 => Just("HEAD / HTTP/1.0"),
        1 => Just("\r\nPOST * HTTP/1.1"),
        1 => Just("GET / HTTP/2.0"),
    ];
    (start, end.clone(), prop::collection::vec((line, end.clone()), 0..6), end).prop_map(
        |(start, start_end, lines, last)| {
            let mut wire = [start, start_end].concat();
            for (line, end) in lines {
                wire += line;
                wire += end;
            }
            (wire + last).into_bytes()
        },
    )
}

/// A head, with a few bytes replaced, and something after it.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (head_like(), damage, prop::collection::vec(any::<u8>(), 0..20)).prop_map(
        |(mut wire, damage, after)| {
            for (at, byte) in damage {
                let at = at.index(wire.len());
                wire[at] = byte;
            }
            wire.extend(after);
            wire
        },
    )
}

/// What must hold of any head that is accepted.
fn check_accepted(wire: &[u8], limits: &HeadLimits) -> Result<(), TestCaseError> {
    let Ok(Parsed::Complete { head, consumed }) = parse(wire, limits) else { return Ok(()) };
    let bytes = &wire[..consumed];
    prop_assert!(bytes.ends_with(b"\r\n\r\n"));
    prop_assert!(consumed <= limits.bytes);
    for (i, &byte) in bytes.iter().enumerate() {
        prop_assert!(byte != b'\n' || bytes[i - 1] == b'\r', "bare LF at {}", i);
        prop_assert!(byte != b'\r' || bytes[i + 1] == b'\n', "bare CR at {}", i);
        prop_assert!(byte != 0);
    }
    let text = bytes.to_ascii_lowercase();
    let count = |name: &[u8]| text.windows(name.len()).filter(|window| *window == name).count();
    match head.framing {
        Framing::None => prop_assert_eq!(count(b"\r\ntransfer-encoding:"), 0),
        Framing::Length(_) => prop_assert_eq!(
            (count(b"\r\ncontent-length:"), count(b"\r\ntransfer-encoding:")),
            (1, 0)
        ),
        Framing::Chunked => prop_assert_eq!(
            (count(b"\r\ncontent-length:"), count(b"\r\ntransfer-encoding:"), head.version),
            (0, 1, Version::Http11)
        ),
    }
    if head.version == Version::Http11 {
        prop_assert_eq!(count(b"\r\nhost:"), 1);
        prop_assert!(head.fields.host.is_some());
    }
    Ok(())
}

/// Where the stream is cut must not matter: until the head is whole it is Partial (or refused
/// early), from there on always the same.
fn check_splits(wire: &[u8], limits: &HeadLimits) -> Result<(), TestCaseError> {
    let whole = parse(wire, limits);
    let mut seen = 0;
    let mut refused = false;
    for end in 0..=wire.len() {
        let now = parse(&wire[..end], limits);
        if refused {
            prop_assert!(now.is_err(), "a refusal was taken back at {}", end);
        }
        match now {
            Ok(Parsed::Partial) => {}
            Ok(Parsed::Complete { consumed, .. }) => {
                prop_assert_eq!(now, whole, "cut at {}", end);
                prop_assert!(consumed <= end);
            }
            Err(_) => refused = true,
        }
        if !worth_parsing(&wire[..end], seen, limits) {
            prop_assert!(
                !matches!(now, Ok(Parsed::Complete { .. })),
                "skipped too much at {}",
                end
            );
        }
        if !matches!(now, Ok(Parsed::Partial)) {
            break;
        }
        seen = end;
    }
    if let Ok(Parsed::Complete { consumed, .. }) = whole {
        for end in 0..consumed {
            prop_assert_eq!(parse(&wire[..end], limits), Ok(Parsed::Partial));
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(wire in prop::collection::vec(any::<u8>(), 0..300)) {
        check_accepted(&wire, &HeadLimits::default())?;
    }

    #[test]
    fn accepted_heads_are_beyond_doubt(wire in damaged()) {
        check_accepted(&wire, &HeadLimits::default())?;
    }

    #[test]
    fn cuts_do_not_matter(wire in damaged(), bytes in 20usize..200) {
        check_splits(&wire, &HeadLimits::default())?;
        check_splits(&wire, &HeadLimits { bytes, target: 30, fields: 4 })?;
    }
}
