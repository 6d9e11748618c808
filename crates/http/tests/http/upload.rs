//! Requests that bring files: the examples of the draft, what its clients send, and what must be refused.

#![expect(clippy::result_large_err, reason = "as in the room that is tested")]

use sendrail_http::conditional::Validators;
use sendrail_http::date::format_http_date;
use sendrail_http::head::{FieldLines, Version};
use sendrail_http::negotiate::Coding;
use sendrail_http::render::Envelope;
use sendrail_http::status::Status;
use sendrail_http::upload::{
    Act, Ask, Fields, Interim, Interop, Limits, Preconditions, Problem, Reply, State, act, ask,
    creation, digests, offset,
};
use sendrail_http::validator::{EntityTag, Strength};

use crate::{EXAMPLE, complete};

pub(crate) const NO_LIMITS: Limits = Limits { most: None, most_at_once: None, max_age: None };
pub(crate) const HALF: State = State { offset: 50, length: Some(100), complete: false };

pub(crate) fn request(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: example.com\r\n{}\r\n", fields.replace('\n', "\r\n"))
        .into_bytes()
}

fn asked(line: &str, fields: &str, limits: &Limits) -> Result<Ask, Reply> {
    let wire = request(line, fields);
    let head = complete(&wire);
    ask(&head, &Fields::read(head.raw).unwrap(), limits)
}

pub(crate) fn done(line: &str, fields: &str, state: &State) -> Result<Act, Reply> {
    let wire = request(line, fields);
    let head = complete(&wire);
    act(&head, &Fields::read(head.raw).unwrap(), state, &NO_LIMITS)
}

fn status<T: std::fmt::Debug>(result: &Result<T, Reply>) -> u16 {
    match result {
        Ok(other) => panic!("{other:?}"),
        Err(reply) => reply.status.code(),
    }
}

fn written(reply: &Reply, is_head: bool) -> String {
    let date = format_http_date(EXAMPLE);
    let envelope =
        Envelope { date: &date, server: None, keep_alive: true, version: Version::Http11 };
    let mut out = Vec::new();
    reply.write(&mut out, is_head, &envelope);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_put_is_stored() {
    for (framing, len) in
        [("Content-Length: 5\n", Some(5)), ("Transfer-Encoding: chunked\n", None), ("", Some(0))]
    {
        let Ok(Ask::Store(store)) = asked("PUT /a", framing, &NO_LIMITS) else { panic!() };
        assert_eq!(store.len, len);
        assert!(store.preconditions.is_empty() && store.digests.is_empty());
    }
}

#[test]
fn what_is_not_stored() {
    for (fields, code) in [
        ("Content-Range: bytes 0-4/10\nContent-Length: 5\n", 400),
        ("Content-Encoding: gzip\nContent-Length: 5\n", 415),
        ("Content-Encoding: identity\nContent-Length: 101\n", 413),
        ("Upload-Complete: ?0\nUpload-Length: 101\n", 413),
        ("Upload-Complete: ?0\nUpload-Length: 100\nContent-Length: 51\n", 413),
        ("Upload-Complete: ?0\nUpload-Length: 9\nContent-Length: 10\n", 400),
        ("Upload-Complete: ?1\nUpload-Length: 9\nContent-Length: 10\n", 400),
        ("Content-Digest: sha-256=:AAAA:\n", 400),
        ("Repr-Digest: sha-256\n", 400),
        ("Repr-Digest: ,\n", 400),
    ] {
        let limits = Limits { most: Some(100), most_at_once: Some(50), ..NO_LIMITS };
        let refused = asked("PUT /a", fields, &limits);
        assert_eq!(status(&refused), code, "{fields}");
        let reply = refused.unwrap_err();
        assert_eq!(reply.limits.is_some(), code == 413, "{fields}");
        assert_eq!(reply.accept_encoding.is_some(), code == 415, "{fields}");
    }
    // One request may bring more if it is not resumable: that is what the other limit is for.
    let limits = Limits { most: Some(100), most_at_once: Some(50), ..NO_LIMITS };
    assert!(asked("PUT /a", "Content-Length: 100\n", &limits).is_ok());
}

#[test]
fn fields_that_must_stand_once() {
    for twice in ["Authorization: a\n", "Content-Range: bytes 0-4/10\n", "Content-Type: a/b\n"] {
        let wire = request("PUT /a", &twice.repeat(2));
        let refused = Fields::read(complete(&wire).raw).unwrap_err();
        assert_eq!(refused.status.code(), 400, "{twice}");
    }
}

/// draft-ietf-httpbis-resumable-upload-11, "Upload Creation", examples A and B; and the last two as tus-js-client 4.3.1 sends them.
#[test]
fn creations() {
    let version = "Upload-Draft-Interop-Version: ";
    for (fields, complete, len, content, interop) in [
        (
            format!(
                "Upload-Complete: ?1\nUpload-Length: 123456789\nContent-Length: 123456789\n{version}8\n"
            ),
            true,
            Some(123_456_789),
            Some(123_456_789),
            Some(8),
        ),
        (
            "Upload-Complete: ?0\nContent-Length: 23456789\nUpload-Length: 123456789\n".to_owned(),
            false,
            Some(123_456_789),
            Some(23_456_789),
            None,
        ),
        ("Upload-Complete: ?0\n".to_owned(), false, None, Some(0), None),
        (
            format!("Upload-Complete: ?0\nTransfer-Encoding: chunked\n{version}9\n"),
            false,
            None,
            None,
            None,
        ),
        (
            format!(
                "{version}6\nUpload-Length: 11\nUpload-Metadata: filename YQ==\nUpload-Complete: ?0\n"
            ),
            false,
            Some(11),
            Some(0),
            Some(6),
        ),
        (
            format!("{version}5\nUpload-Length: 11\nUpload-Complete: ?1\nContent-Length: 11\n"),
            true,
            Some(11),
            Some(11),
            Some(5),
        ),
        (
            format!("{version}3\nUpload-Incomplete: ?0\nContent-Length: 11\n"),
            true,
            Some(11),
            Some(11),
            Some(3),
        ),
        (format!("{version}3\nUpload-Incomplete: ?1\n"), false, None, Some(0), Some(3)),
    ] {
        let Ok(Ask::Create(create)) = asked("POST /a", &fields, &NO_LIMITS) else {
            panic!("{fields}")
        };
        let got = (create.complete, create.len, create.content);
        assert_eq!(got, (complete, len, content), "{fields}");
        assert_eq!(create.interop.map(Interop::version), interop, "{fields}");
    }
}

#[test]
fn what_cannot_be_told_of_an_upload_gets_none() {
    for fields in [
        "Upload-Complete: ?1\nContent-Length: 5\n",
        "Upload-Complete: ?1\nContent-Length: 5\nUpload-Draft-Interop-Version: 9\n",
        "Upload-Complete: 1\nContent-Length: 5\nUpload-Draft-Interop-Version: 8\n",
        "Upload-Complete: ?0, ?0\nContent-Length: 5\n",
        "Upload-Incomplete: ?1\nContent-Length: 5\nUpload-Draft-Interop-Version: 8\n",
    ] {
        let asked = asked("PUT /a", fields, &NO_LIMITS);
        assert!(matches!(asked, Ok(Ask::Store(_))), "{fields}: {asked:?}");
    }
}

#[test]
fn appends() {
    let labelled = "Content-Type: application/partial-upload\n";
    let Ok(Act::Append(append)) = done(
        "PATCH /u/1",
        &format!("{labelled}Upload-Complete: ?0\nUpload-Offset: 50\nContent-Length: 20\n"),
        &HALF,
    ) else {
        panic!()
    };
    assert_eq!((append.complete, append.len, append.content), (false, Some(100), Some(20)));
    let unknown = State { length: None, ..HALF };
    let Ok(Act::Append(append)) = done(
        "PATCH /u/1",
        "Content-Type: Application/Partial-Upload ;a=b\nUpload-Complete: ?1\nUpload-Offset: 50\nContent-Length: 20\n",
        &unknown,
    ) else {
        panic!()
    };
    assert_eq!((append.complete, append.len), (true, Some(70)), "now it is known");
    // As tus-js-client sends it as ietf-draft-03: without a media type.
    let fields = "Upload-Draft-Interop-Version: 5\nUpload-Offset: 50\nUpload-Complete: ?1\nContent-Length: 50\n";
    assert!(matches!(done("PATCH /u/1", fields, &HALF), Ok(Act::Append(_))));
}

#[test]
fn appends_that_are_refused() {
    let good = "Content-Type: application/partial-upload\nUpload-Offset: 50\nUpload-Complete: ?0\n";
    for (fields, code) in [
        (good.replace("partial-upload", "octet-stream"), 415),
        (good.replace("Content-Type", "X"), 415),
        (good.replace("Content-Type: application", "Upload-Draft-Interop-Version: 6\nX: "), 415),
        (good.replace("Upload-Offset: 50", "Upload-Offset: fifty"), 400),
        (good.replace("Upload-Offset: 50", "Upload-Offset: -50"), 400),
        (good.replace("Upload-Offset: 50", "X: 50"), 400),
        (good.replace("?0", "no"), 400),
        (good.replace("50", "49"), 409),
        (good.replace("50", "51"), 409),
        (format!("{good}Content-Length: 51\n"), 400),
        (format!("{good}Upload-Length: 99\n"), 400),
        (format!("{}Content-Length: 49\n", good.replace("?0", "?1")), 400),
        (format!("{good}Content-Digest: sha-512=:AAAA:\n"), 400),
    ] {
        let refused = done("PATCH /u/1", &fields, &HALF);
        assert_eq!(status(&refused), code, "{fields}");
        let reply = refused.unwrap_err();
        assert_eq!(reply.accept_patch, code == 415, "{fields}");
        assert_eq!(reply.offset, (code == 409).then_some(50), "{fields}");
    }
}

#[test]
fn an_upload_that_is_complete() {
    let complete = State { offset: 100, length: Some(100), complete: true };
    let fields =
        "Content-Type: application/partial-upload\nUpload-Offset: 100\nUpload-Complete: ?1\n";
    assert_eq!(done("PATCH /u/1", fields, &complete), Ok(Act::Again));
    let more = format!("{fields}Content-Length: 1\n");
    assert_eq!(status(&done("PATCH /u/1", &more, &complete)), 400);
    let not_yet = fields.replace("?1", "?0");
    assert_eq!(status(&done("PATCH /u/1", &not_yet, &complete)), 400);
    let behind = fields.replace(": 100", ": 50");
    assert_eq!(status(&done("PATCH /u/1", &behind, &complete)), 409);
    assert_eq!(done("HEAD /u/1", "", &complete), Ok(Act::Tell));
}

#[test]
fn other_methods() {
    assert_eq!(done("HEAD /u/1", "", &HALF), Ok(Act::Tell));
    assert_eq!(done("GET /u/1", "", &HALF), Ok(Act::Tell));
    assert_eq!(done("DELETE /u/1", "", &HALF), Ok(Act::Cancel));
    let options = done("OPTIONS /u/1", "", &HALF).unwrap_err();
    let said = written(&options, false);
    assert!(said.starts_with("HTTP/1.1 204 No Content\r\n"), "{said}");
    assert!(said.contains("\r\nUpload-Limit: min-size=0\r\n"), "{said}");
    for line in ["PUT /u/1", "POST /u/1", "BREW /u/1"] {
        let refused = done(line, "", &HALF);
        assert_eq!(status(&refused), 405);
        assert!(
            written(&refused.unwrap_err(), false).contains("\r\nAllow: HEAD, GET, PATCH, DELETE")
        );
    }
}

/// "Mismatching Offset" and "Inconsistent Length" of the draft.
#[test]
fn problems_are_those_of_the_draft() {
    let fields =
        "Content-Type: application/partial-upload\nUpload-Offset: 25000000\nUpload-Complete: ?0\n";
    let state = State { offset: 12_500_000, length: None, complete: false };
    let reply = done("PATCH /u/1", fields, &state).unwrap_err();
    assert_eq!(
        written(&reply, false),
        "HTTP/1.1 409 Conflict\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Content-Type: application/problem+json\r\nContent-Length: 279\r\n\
         Upload-Offset: 12500000\r\nUpload-Complete: ?0\r\nX-Content-Type-Options: nosniff\r\n\r\n\
         {\"type\":\"https://iana.org/assignments/http-problem-types#mismatching-upload-offset\",\
         \"title\":\"offset from request does not match offset of resource\",\"status\":409,\
         \"expected-offset\":12500000,\"provided-offset\":25000000,\
         \"detail\":\"the offset of the request is not that of the upload\"}\n"
    );
    let to_head = written(&reply, true);
    assert!(to_head.ends_with("\r\n\r\n") && to_head.contains("Content-Length: 279\r\n"));
    let fields = "Upload-Complete: ?1\nUpload-Length: 9\nContent-Length: 10\n";
    let reply = asked("POST /a", fields, &NO_LIMITS).unwrap_err();
    assert_eq!(reply.problem, Some(Problem::InconsistentLength));
    let said = written(&reply, false);
    assert!(said.contains("#inconsistent-upload-length\",\"title\":\"inconsistent length values"));
    assert!(said.contains("\r\nUpload-Complete: ?0\r\n"));
    let other =
        written(&Reply::error(Status::INSUFFICIENT_STORAGE, "the disk is full", None), false);
    assert!(other.ends_with(
        "\r\n\r\n{\"type\":\"about:blank\",\"title\":\"Insufficient Storage\",\"status\":507,\
         \"detail\":\"the disk is full\"}\n"
    ));
}

/// "Offset Retrieval" and "Upload Creation", example B.
#[test]
fn answers_are_those_of_the_draft() {
    let limits = Limits { max_age: Some(3600), ..NO_LIMITS };
    let state = State { offset: 25_000_000, length: Some(100_000_000), complete: false };
    let said = written(&offset(&state, &limits, None), true);
    assert_eq!(
        said,
        "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
         Upload-Offset: 25000000\r\nUpload-Complete: ?0\r\nUpload-Length: 100000000\r\n\
         Upload-Limit: max-age=3600\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n\r\n"
    );
    let limits = Limits { most: Some(1_234_567_890), ..NO_LIMITS };
    let reply = creation(Some("/u/3fd4994ad".into()), &state, &limits, None);
    let said = written(&reply, false);
    assert!(said.starts_with("HTTP/1.1 201 Created\r\n"));
    assert!(said.contains("\r\nLocation: /u/3fd4994ad\r\n"));
    assert!(said.contains("\r\nUpload-Complete: ?0\r\nUpload-Limit: max-size=1234567890\r\n"));
    assert_eq!(creation(None, &state, &limits, None).status, Status::NO_CONTENT);
}

#[test]
fn the_oldest_clients_are_told_the_other_way_round() {
    let wire = request("POST /a", "Upload-Draft-Interop-Version: 3\nUpload-Incomplete: ?1\n");
    let interop = Fields::read(complete(&wire).raw).unwrap().interop;
    let said = written(&offset(&HALF, &NO_LIMITS, interop), true);
    assert!(said.contains("\r\nUpload-Incomplete: ?1\r\n") && !said.contains("Upload-Complete"));
}

#[test]
fn interim_answers() {
    for version in 0..12u8 {
        let wire = request("POST /a", &format!("Upload-Draft-Interop-Version: {version}\n"));
        let interop = Fields::read(complete(&wire).raw).unwrap().interop;
        assert_eq!(interop.is_some(), (3..=8).contains(&version), "{version}");
        let Some(interop) = interop else { continue };
        let interim = Interim { interop, location: None, offset: Some(7), limits: Some(NO_LIMITS) };
        let mut out = Vec::new();
        interim.write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(
                "HTTP/1.1 104 Upload Resumption Supported\r\n\
                 Upload-Draft-Interop-Version: {version}\r\nUpload-Offset: 7\r\n\
                 Upload-Limit: min-size=0\r\n\r\n"
            )
        );
    }
}

#[test]
fn digests_that_are_known() {
    // RFC 9530, appendix B.1.
    let lines = FieldLines::from(
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, unixsum=:AA==:, md5=:AAAA:",
    );
    let known = digests(&lines).unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!((known[0].algorithm, known[0].value[0]), ("sha-256", 0x5f));
    let mut split = FieldLines::from("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:");
    assert!(split.push(b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"));
    let known = digests(&split).unwrap();
    assert_eq!(
        (known.len(), known[0].value[0]),
        (1, 0xe3),
        "the last one counts (RFC 9651 §4.2.2)"
    );
    assert!(digests(&FieldLines::from("sha-256=(:AA==:)")).is_err());
    assert!(digests(&FieldLines::from("sha-256=\"text\"")).is_err());
    assert_eq!(digests(&FieldLines::new()), Ok(Vec::new()));
}

#[test]
fn preconditions_of_what_changes_something() {
    let tag = |second, strength| EntityTag::new(second, 0x2a, 10, Coding::Identity, strength);
    let (strong, weak) = (tag(EXAMPLE, Strength::Strong), tag(EXAMPLE, Strength::Weak));
    let file = |etag| Validators { etag, last_modified: EXAMPLE, last_modified_is_strong: true };
    let (matching, other) = (strong.as_str(), tag(1, Strength::Strong));
    let other = other.as_str();
    // What is asked for; whether it holds for the file, for a file of which the tag is weak, for none.
    for (fields, strongly, weakly, absent) in [
        (String::new(), true, true, true),
        (format!("If-Match: {matching}\n"), true, false, false),
        (format!("If-Match: {other}\nIf-Match: {matching}\n"), true, false, false),
        (format!("If-Match: {other}\n"), false, false, false),
        ("If-Match: *\n".into(), true, true, false),
        ("If-None-Match: *\n".into(), false, false, true),
        (format!("If-None-Match: {matching}\n"), false, false, true),
        (format!("If-None-Match: {other}\n"), true, true, true),
        (format!("If-Match: {matching}\nIf-None-Match: {matching}\n"), false, false, false),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\n".into(), true, true, true),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\n".into(), false, false, true),
        ("If-Unmodified-Since: yesterday\n".into(), true, true, true),
        // RFC 9110 §13.1.4: beside If-Match it is not looked at.
        (
            format!("If-Match: {matching}\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\n"),
            true,
            false,
            false,
        ),
    ] {
        let wire = request("PUT /a", &fields);
        let asked = Preconditions::of(&complete(&wire).fields);
        for conditions in [Preconditions::from_bytes(&asked.to_bytes()).unwrap(), asked] {
            assert_eq!(conditions.hold(Some(&file(&strong))), strongly, "{fields}");
            assert_eq!(conditions.hold(Some(&file(&weak))), weakly, "{fields}");
            assert_eq!(conditions.hold(None), absent, "{fields}");
            assert_eq!(conditions.only_if_absent(), fields == "If-None-Match: *\n", "{fields}");
            assert_eq!(conditions.is_empty(), fields.is_empty());
        }
    }
    for damaged in [&b"If-Match: \"a\""[..], b"If-Range: \"a\"\n", b"\n"] {
        assert_eq!(Preconditions::from_bytes(damaged), None);
    }
}
