//! Multipart answers: what is announced is what is sent, and can be read back.

use proptest::prelude::*;
use sendrail_http::multipart::Multipart;
use sendrail_http::range::{ByteRange, Ranges, parse};

/// The whole body, as the chain would send it.
fn assemble(multipart: &Multipart, file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for part in &multipart.parts {
        body.extend(&part.head);
        body.extend(&file[part.range.first as usize..=part.range.last() as usize]);
    }
    body.extend(&multipart.closing);
    body
}

#[test]
fn as_in_rfc_9110_section_14_6() {
    let file: Vec<u8> = (0..8000u32).map(|i| b'a' + (i % 26) as u8).collect();
    let ranges = [ByteRange { first: 500, len: 5 }, ByteRange { first: 7000, len: 5 }];
    let multipart = Multipart::new(&ranges, "application/pdf", 8000, u128::MAX - 1);
    assert_eq!(
        String::from_utf8(assemble(&multipart, &file)).unwrap(),
        "--fffffffffffffffffffffffffffffffe\r\n\
         Content-Type: application/pdf\r\n\
         Content-Range: bytes 500-504/8000\r\n\
         \r\n\
         ghijk\r\n\
         --fffffffffffffffffffffffffffffffe\r\n\
         Content-Type: application/pdf\r\n\
         Content-Range: bytes 7000-7004/8000\r\n\
         \r\n\
         ghijk\r\n\
         --fffffffffffffffffffffffffffffffe--\r\n"
    );
    assert_eq!(multipart.boundary.to_string(), "fffffffffffffffffffffffffffffffe");
}

proptest! {
    #[test]
    fn the_announced_length_is_the_real_one(
        starts in prop::collection::vec((0u64..500, 1u64..40), 2..10),
        boundary in any::<u128>(),
    ) {
        let file: Vec<u8> = (0..600u32).map(|i| i as u8).collect();
        let set: Vec<String> =
            starts.iter().map(|(first, len)| format!("{first}-{}", first + len - 1)).collect();
        let value = format!("bytes={}", set.join(","));
        let Ranges::Many(ranges) = parse(value.as_bytes(), 600, 64) else { return Ok(()) };
        let multipart = Multipart::new(&ranges, "text/plain", 600, boundary);
        let body = assemble(&multipart, &file);
        prop_assert_eq!(multipart.content_length, body.len() as u64);
        prop_assert_eq!(multipart.parts.len(), ranges.len());
    }
}
