//! Properties of uploads that hold for any request.

use std::fmt::Write as _;

use proptest::prelude::*;
use sendrail_http::upload::{Act, Fields, Preconditions, Problem, State, act, ask, file_name};

use crate::complete;
use crate::upload::{HALF, NO_LIMITS, done, request};

proptest! {
    #[test]
    fn whatever_is_said_the_lengths_agree_in_the_end(
        complete in any::<bool>(),
        at in 0u64..100,
        content in prop::option::of(0u64..100),
        said in prop::option::of(0u64..200),
        known in prop::option::of(0u64..200),
    ) {
        let mut fields = format!(
            "Content-Type: application/partial-upload\nUpload-Offset: {at}\nUpload-Complete: {}\n",
            if complete { "?1" } else { "?0" }
        );
        match content {
            Some(content) => writeln!(fields, "Content-Length: {content}").unwrap(),
            None => fields += "Transfer-Encoding: chunked\n",
        }
        if let Some(said) = said {
            writeln!(fields, "Upload-Length: {said}").unwrap();
        }
        let state = State { offset: at, length: known, complete: false };
        match done("PATCH /u/1", &fields, &state) {
            Ok(Act::Append(append)) => {
                let end = content.map(|content| at + content);
                for length in [said, known, end.filter(|_| complete)].into_iter().flatten() {
                    prop_assert_eq!(append.len, Some(length));
                }
                prop_assert!(append.len.is_none_or(|len| end.unwrap_or(at) <= len));
            }
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(reply) => {
                prop_assert_eq!(reply.problem, Some(Problem::InconsistentLength));
                let all: Vec<u64> = [said, known, content.map(|content| at + content).filter(|_| complete)]
                    .into_iter()
                    .flatten()
                    .collect();
                let end = at + content.unwrap_or_default();
                prop_assert!(all.iter().any(|len| *len != all[0] || *len < end));
            }
        }
    }

    #[test]
    fn arbitrary_values_never_panic(value in "[ -~]{0,40}", which in 0usize..12) {
        let name = [
            "Upload-Complete", "Upload-Offset", "Upload-Length", "Upload-Draft-Interop-Version",
            "Content-Digest", "Repr-Digest", "Content-Disposition", "Content-Type", "Content-Range",
            "Content-Encoding", "If-Match", "Upload-Incomplete",
        ][which];
        let wire = request("PATCH /u/1", &format!("{name}: {value}\n"));
        let head = complete(&wire);
        if let Ok(fields) = Fields::read(head.raw) {
            let _ = ask(&head, &fields, &NO_LIMITS);
            let _ = act(&head, &fields, &HALF, &NO_LIMITS);
            let name = fields.content_disposition.and_then(file_name);
            prop_assert!(name.is_none_or(|name| !name.contains('/') && name != ".." && !name.is_empty()));
        }
        let _ = Preconditions::from_bytes(value.as_bytes());
    }
}
