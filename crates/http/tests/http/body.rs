//! Request bodies: where each ends, whatever the cut, and what is refused.

use proptest::prelude::*;
use sendrail_http::body::Drain;
use sendrail_http::head::Framing;

/// Feeds `wire` in pieces of `step` bytes; how much the body took, or the status of the refusal.
fn drain(framing: Framing, max: u64, wire: &[u8], step: usize) -> Result<Option<usize>, u16> {
    let mut drain = Drain::new(framing, max).map_err(|refusal| refusal.status.code())?;
    let mut at = 0;
    while at < wire.len() && !drain.is_done() {
        let piece = &wire[at..wire.len().min(at + step)];
        let drained = drain.feed(piece).map_err(|refusal| refusal.status.code())?;
        assert_eq!(drained.done, drain.is_done());
        assert!(drained.done || drained.consumed == piece.len());
        at += drained.consumed;
    }
    Ok(drain.is_done().then_some(at))
}

/// The same, but takes the data, in turns by looking at it and by letting it pass.
fn take(framing: Framing, wire: &[u8], step: usize, lets_pass: bool) -> Result<Vec<u8>, u16> {
    let mut body = Drain::new(framing, u64::MAX).map_err(|refusal| refusal.status.code())?;
    let (mut at, mut data) = (0, Vec::new());
    while at < wire.len() && !body.is_done() {
        let piece = &wire[at..wire.len().min(at + step)];
        let ahead = piece.len().min(body.ahead() as usize);
        if lets_pass && ahead > 0 {
            body.passed(ahead as u64);
            data.extend_from_slice(&piece[..ahead]);
            at += ahead;
            continue;
        }
        let taken = body.take(piece).map_err(|refusal| refusal.status.code())?;
        assert_eq!(taken.done, body.is_done());
        assert!(taken.done || !taken.data.is_empty() || taken.consumed == piece.len());
        assert!(taken.data.is_empty() || taken.data.end == taken.consumed);
        data.extend_from_slice(&piece[taken.data]);
        at += taken.consumed;
    }
    Ok(data)
}

fn at_every_step(framing: Framing, max: u64, wire: &[u8]) -> Result<Option<usize>, u16> {
    let whole = drain(framing, max, wire, usize::MAX >> 1);
    for step in 1..5 {
        assert_eq!(drain(framing, max, wire, step), whole, "{:?}", String::from_utf8_lossy(wire));
    }
    whole
}

#[test]
fn sized() {
    assert_eq!(at_every_step(Framing::None, 0, b"GET"), Ok(Some(0)));
    assert_eq!(at_every_step(Framing::Length(0), 0, b"GET"), Ok(Some(0)));
    assert_eq!(at_every_step(Framing::Length(5), 5, b"helloGET"), Ok(Some(5)));
    assert_eq!(at_every_step(Framing::Length(5), 5, b"hell"), Ok(None));
    assert_eq!(at_every_step(Framing::Length(6), 5, b""), Err(413));
    assert_eq!(at_every_step(Framing::Length(u64::MAX), u64::MAX, b"x"), Ok(None));
}

#[test]
fn chunked() {
    let good = [
        &b"0\r\n\r\n"[..],
        b"5\r\nhello\r\n0\r\n\r\n",
        b"005\r\nhello\r\n000\r\n\r\n",
        b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        b"5;ext=1;b=\"q q\";c\r\nhello\r\n0;last\r\n\r\n",
        b"5 ;ext\r\nhello\r\n0 \t ; x\r\n\r\n",
        b"0\r\nTrailer: a\r\nAnother: b\r\n\r\n",
        b"2\r\n\r\n\r\n0\r\n\r\n",
    ];
    for wire in good {
        let stream = [wire, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(at_every_step(Framing::Chunked, 100, &stream), Ok(Some(wire.len())));
        for end in 0..wire.len() {
            assert_eq!(drain(Framing::Chunked, 100, &wire[..end], 7), Ok(None));
        }
    }
}

#[test]
fn data_is_handed_out_and_framing_is_not() {
    let chunked = b"5;ext=1\r\nhello\r\n3\r\n\r\n!\r\n0\r\nTrailer: a\r\n\r\nGET";
    for step in 1..chunked.len() {
        for lets_pass in [false, true] {
            let taken = take(Framing::Chunked, chunked, step, lets_pass);
            assert_eq!(taken.as_deref(), Ok(&b"hello\r\n!"[..]), "{step}");
            let taken = take(Framing::Length(5), b"helloGET", step, lets_pass);
            assert_eq!(taken.as_deref(), Ok(&b"hello"[..]), "{step}");
        }
    }
    assert_eq!(take(Framing::None, b"GET", 3, false).as_deref(), Ok(&b""[..]));
    assert_eq!(take(Framing::Chunked, b"5\r\nhello0\r\n\r\n", 4, true), Err(400));
    assert_eq!(Drain::new(Framing::None, 0).unwrap().ahead(), 0);
}

#[test]
fn chunked_and_malformed() {
    let bad = [
        &b"\r\n"[..],
        b";ext\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"5\nhello\r\n",
        b"5\rhello\r\n",
        b"5\r\rhello",
        b"5;a\nhello\r\n",
        b"5;a\rb\r\nhello\r\n",
        b"5;\0\r\nhello\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\rX",
        b"5\r\nhelloX\r\n",
        b"0\r\n\n",
        b"0\n\n",
        b"0\r\n\rX",
        b"0\r\nTrailer: a\n\r\n",
        b"0\r\nTrailer: a\rb\r\n\r\n",
        b"0\r\nTrailer: \0\r\n\r\n",
        b"10000000000000000\r\n",
        b"fffffffffffffffff\r\n",
    ];
    for wire in bad {
        let result = at_every_step(Framing::Chunked, u64::MAX, wire);
        assert_eq!(result, Err(400), "{:?}", String::from_utf8_lossy(wire));
    }
}

#[test]
fn bounds() {
    assert_eq!(at_every_step(Framing::Chunked, 4, b"5\r\n"), Err(413));
    assert_eq!(at_every_step(Framing::Chunked, 5, b"3\r\nabc\r\n3\r\n"), Err(413));
    assert_eq!(at_every_step(Framing::Chunked, 100, b"ffffffffffffffff\r\n"), Err(413));
    let long_extension = [b"5;", &[b'a'; 2000][..], b"\r\n"].concat();
    assert_eq!(drain(Framing::Chunked, 100, &long_extension, 100), Err(400));
    let zeros = [b'0'; 2000];
    assert_eq!(drain(Framing::Chunked, 100, &zeros, 100), Err(400));
    // 8800 bytes of fields, and not yet too much framing as a whole.
    let long_trailers = [b"0\r\n", &b"a: b\r\n".repeat(2200)[..]].concat();
    assert_eq!(drain(Framing::Chunked, 100, &long_trailers, 100), Err(400));
}

#[test]
fn a_flood_of_extensions_is_refused_but_small_chunks_are_not() {
    let chunk = [b"1;", &[b'a'; 500][..], b"\r\nx\r\n"].concat();
    assert_eq!(drain(Framing::Chunked, 1 << 20, &chunk.repeat(1000), 4096), Err(400));
    let wire = [&b"1\r\nx\r\n".repeat(50_000)[..], b"0\r\n\r\n"].concat();
    assert_eq!(drain(Framing::Chunked, 50_000, &wire, 4096), Ok(Some(wire.len())));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        wire in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), b'0'..=b'9'], 0..200),
        step in 1usize..50,
    ) {
        let whole = drain(Framing::Chunked, 1000, &wire, usize::MAX >> 1);
        prop_assert_eq!(drain(Framing::Chunked, 1000, &wire, step), whole);
    }

    #[test]
    fn any_chunks_are_taken_whole(
        sizes in prop::collection::vec(1usize..400, 0..20),
        step in 1usize..500,
    ) {
        let mut wire = Vec::new();
        for size in &sizes {
            wire.extend(format!("{size:x}\r\n").into_bytes());
            wire.extend(vec![b'\r'; *size]);
            wire.extend(b"\r\n");
        }
        wire.extend(b"0\r\n\r\n");
        let end = wire.len();
        wire.extend(b"next");
        let total: usize = sizes.iter().sum();
        prop_assert_eq!(drain(Framing::Chunked, total as u64, &wire, step), Ok(Some(end)));
        for lets_pass in [false, true] {
            prop_assert_eq!(take(Framing::Chunked, &wire, step, lets_pass), Ok(vec![b'\r'; total]));
        }
        if total > 0 {
            prop_assert_eq!(drain(Framing::Chunked, total as u64 - 1, &wire, step), Err(413));
        }
    }
}
