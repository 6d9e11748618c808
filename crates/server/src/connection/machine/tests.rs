//! The machine without a socket: every split, every order of events, time as a number.

#![allow(clippy::unwrap_used)] // a panic is how a test fails

use super::*;
use proptest::prelude::*;

/// Answers with the request line and whether the connection may live on.
#[derive(Default)]
struct Echo(String);

impl Responder for Echo {
    fn answer(&mut self, head: &Head<'_>, bytes: &[u8], persist: bool) {
        let again = head::parse(bytes, &HeadLimits::default());
        let Ok(Parsed::Complete { head: same, consumed }) = again else { panic!("{again:?}") };
        assert_eq!((same, consumed), (*head, bytes.len()), "the head can be parsed again");
        let target = String::from_utf8_lossy(head.target);
        let end = if persist { "" } else { " and close" };
        self.0 = format!("{} {target}{end}", head.method.as_str());
    }

    fn receives(&mut self, _head: &Head<'_>, _bytes: &[u8], _persist: bool) -> bool {
        false
    }

    fn refuse(&mut self, refusal: &Refusal, _head: Option<&Head<'_>>) {
        self.0 = format!("refused {}", refusal.status.code());
    }

    fn keep(&mut self) {}
}

fn limits() -> Limits {
    let span = Duration::from_secs;
    Limits {
        header: span(10),
        body: span(20),
        max_body: 1000,
        idle: span(60),
        send: span(30),
        min_send_rate: 0,
    }
}

/// Feeds `pieces` one after another and sends every reply at once. Gives what was sent, and
/// whether the connection was closed.
fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, bool) {
    let (limits, now) = (limits(), Instant::now());
    let mut machine = Machine::new(now, &limits);
    let (mut sent, mut echo) = (Vec::new(), Echo::default());
    for piece in pieces {
        let mut event = machine.on_data(piece, now, &limits, &mut echo);
        loop {
            event = match event {
                Event::Read => break,
                Event::Interim(_) => {
                    sent.push("continue".to_owned());
                    machine.on_interim_sent(now, &limits, &mut echo)
                }
                Event::Send => {
                    sent.push(std::mem::take(&mut echo.0));
                    machine.on_sent(now, &limits, &mut echo)
                }
                Event::Close(_) => return (sent, true),
            }
        }
    }
    (sent, false)
}

fn replies(wire: &str) -> (Vec<String>, bool) {
    run([wire.as_bytes()])
}

const PIPELINE: &str = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n\
    GET /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /\
    HEAD /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n0\r\n\r\n\
    GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
    GET /never HTTP/1.1\r\nHost: x\r\n\r\n";

#[test]
fn answers_a_pipeline_in_order_and_nothing_after_close() {
    let (sent, closed) = replies(PIPELINE);
    assert_eq!(sent, ["GET /a", "GET /b", "HEAD /c", "GET /d and close"]);
    assert!(closed);
}

#[test]
fn a_refused_head_ends_the_connection() {
    let (sent, closed) =
        replies("GET / HTTP/1.1\r\nHost : x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((sent, closed), (vec!["refused 400".to_owned()], true));
}

#[test]
fn a_body_over_the_bound_is_refused_before_it_is_read() {
    let (sent, closed) = replies("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!((sent, closed), (vec!["refused 413".to_owned()], true));
}

#[test]
fn expect_is_answered_by_an_invitation_only_when_the_body_is_wanted() {
    let get = "GET /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let (sent, closed) = run([get.as_bytes(), b"ab"]);
    assert_eq!((sent, closed), (vec!["continue".to_owned(), "GET /a".to_owned()], false));
    let (sent, closed) = replies(&get.replace("GET", "PUT"));
    assert_eq!((sent, closed), (vec!["PUT /a and close".to_owned()], true));
    // The body is already here: nobody waits for an invitation.
    let (sent, _) = replies(&format!("{get}ab"));
    assert_eq!(sent, ["GET /a"]);
}

#[test]
fn deadlines_follow_what_is_waited_for() {
    let mut echo = Echo::default();
    let (limits, start) = (limits(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut machine = Machine::new(start, &limits);
    assert_eq!(machine.deadline(), at(10), "the first head");

    let event = machine.on_data(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", at(5), &limits, &mut echo);
    assert_eq!((event, echo.0.as_str()), (Event::Send, "GET /a"));
    assert_eq!(machine.on_sent(at(6), &limits, &mut echo), Event::Read);
    assert_eq!(machine.deadline(), at(66), "between requests");

    for (second, piece) in [(30, &b"G"[..]), (39, b"ET /")] {
        assert_eq!(machine.on_data(piece, at(second), &limits, &mut echo), Event::Read);
        assert_eq!(
            machine.deadline(),
            at(40),
            "a head, from its first byte: more does not extend it"
        );
    }
    assert_eq!((machine.on_timeout(&mut echo), echo.0.as_str()), (Event::Send, "refused 408"));
    assert_eq!(machine.on_sent(at(41), &limits, &mut echo), Event::Close(Closing::AfterReply));
}

#[test]
fn an_idle_connection_times_out_without_a_word() {
    let mut echo = Echo::default();
    let (limits, start) = (limits(), Instant::now());
    let mut machine = Machine::new(start, &limits);
    assert_eq!(machine.on_timeout(&mut echo), Event::Close(Closing::Idle));
}

#[test]
fn a_draining_connection_answers_what_has_begun_and_closes() {
    let mut echo = Echo::default();
    let (limits, now) = (limits(), Instant::now());
    let mut machine = Machine::new(now, &limits);
    let two = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    machine.drain();
    let event = machine.on_data(two, now, &limits, &mut echo);
    assert_eq!((event, echo.0.as_str()), (Event::Send, "GET /a and close"));
    assert_eq!(machine.on_sent(now, &limits, &mut echo), Event::Close(Closing::AfterReply));
}

#[test]
fn an_idle_connection_holds_no_memory() {
    let mut echo = Echo::default();
    let (limits, now) = (limits(), Instant::now());
    let mut machine = Machine::new(now, &limits);
    for byte in PIPELINE.as_bytes().chunks(1).take("GET /a HTTP/1.1\r\nHost: x\r\n\r\n".len()) {
        if let Event::Send = machine.on_data(byte, now, &limits, &mut echo) {
            assert_eq!(machine.on_sent(now, &limits, &mut echo), Event::Read);
        }
    }
    assert!(machine.is_idle());
    assert_eq!(machine.pending.capacity(), 0);
}

proptest! {
    #[test]
    fn the_way_the_bytes_are_split_makes_no_difference(cuts in proptest::collection::vec(0..PIPELINE.len(), 0..40)) {
        let mut cuts = cuts;
        cuts.extend([0, PIPELINE.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &PIPELINE.as_bytes()[cut[0]..cut[1]]);
        prop_assert_eq!(run(pieces.filter(|piece| !piece.is_empty())), replies(PIPELINE));
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_a_head(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..3000), 0..30)) {
        let (limits, now) = (limits(), Instant::now());
        let mut echo = Echo::default();
        let mut machine = Machine::new(now, &limits);
        for piece in &pieces {
            if machine.on_data(piece, now, &limits, &mut echo) != Event::Read {
                break;
            }
            prop_assert!(machine.pending.len() <= HeadLimits::default().bytes);
        }
    }
}
