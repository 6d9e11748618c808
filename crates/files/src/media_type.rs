//! The `Content-Type` of a file, by its name alone: the bytes are never looked at.

use crate::media_table;

/// What is said of files whose name says nothing (RFC 9110 §8.3): "some bytes", which browsers
/// save instead of guessing.
const UNKNOWN: &str = "application/octet-stream";

/// Longer than any extension in the tables; what follows the last dot of a longer one is prose.
const LONGEST_EXTENSION: usize = 24;

/// The full value for `Content-Type`, with `; charset=utf-8` for text.
///
/// The last extension decides, in any case of letters: `a.tar.gz` is gzip. Two choices are worth
/// knowing: `.ts` is an MPEG-2 transport stream (`video/mp2t`, what HLS needs) unless it is
/// `.d.ts`; and source code is `text/plain`, so that a browser shows it instead of saving it.
///
/// ```
/// use sendrail_files::media_type;
///
/// assert_eq!(media_type(b"app.mjs"), "text/javascript; charset=utf-8");
/// assert_eq!(media_type(b"photo.AVIF"), "image/avif");
/// assert_eq!(media_type(b"README"), "text/plain; charset=utf-8");
/// assert_eq!(media_type(b"mystery"), "application/octet-stream");
/// ```
pub fn media_type(name: &[u8]) -> &'static str {
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0) else {
        return if is_prose(name) { media_table::PLAIN } else { UNKNOWN };
    };
    let (stem, extension) = (&name[..dot], &name[dot + 1..]);
    let mut lower = [0; LONGEST_EXTENSION];
    let Some(lower) = lower.get_mut(..extension.len()) else { return UNKNOWN };
    lower.copy_from_slice(extension);
    lower.make_ascii_lowercase();
    let Ok(extension) = std::str::from_utf8(lower) else { return UNKNOWN };
    if extension == "ts" && stem.len() > 2 && stem[stem.len() - 2..].eq_ignore_ascii_case(b".d") {
        return media_table::PLAIN;
    }
    media_table::ours(extension)
        .or_else(|| mime_guess::from_ext(extension).first_raw().map(media_table::with_charset))
        .unwrap_or(UNKNOWN)
}

/// The names without extension that every source tree and mirror has.
fn is_prose(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 25] = [
        b"AUTHORS",
        b"CHANGELOG",
        b"CHANGES",
        b"CODEOWNERS",
        b"CONTRIBUTING",
        b"CONTRIBUTORS",
        b"COPYING",
        b"COPYRIGHT",
        b"CREDITS",
        b"Dockerfile",
        b"HISTORY",
        b"INSTALL",
        b"LICENCE",
        b"LICENSE",
        b"MAINTAINERS",
        b"MD5SUMS",
        b"Makefile",
        b"NEWS",
        b"NOTICE",
        b"README",
        b"SHA1SUMS",
        b"SHA256SUMS",
        b"SHA512SUMS",
        b"TODO",
        b"VERSION",
    ];
    // LICENSE-MIT, COPYING-LGPL and the like.
    let word = name.split(|&byte| byte == b'-').next().unwrap_or(name);
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_todays_web() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.js.map", "application/json"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.svg", "image/svg+xml"),
            ("a.avif", "image/avif"),
            ("a.webp", "image/webp"),
            ("a.jxl", "image/jxl"),
            ("a.apng", "image/apng"),
            ("a.png", "image/png"),
            ("a.jpg", "image/jpeg"),
            ("a.jpeg", "image/jpeg"),
            ("a.gif", "image/gif"),
            ("a.heic", "image/heic"),
            ("a.ico", "image/x-icon"),
            ("a.woff", "font/woff"),
            ("a.woff2", "font/woff2"),
            ("a.ttf", "font/ttf"),
            ("a.otf", "font/otf"),
            ("a.pdf", "application/pdf"),
            ("a.md", "text/markdown; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.log", "text/plain; charset=utf-8"),
            ("a.rs", "text/plain; charset=utf-8"),
            ("a.csv", "text/csv; charset=utf-8"),
            ("a.ics", "text/calendar; charset=utf-8"),
            ("a.xml", "application/xml"),
            ("a.atom", "application/atom+xml"),
            ("a.rss", "application/rss+xml"),
            ("a.geojson", "application/geo+json"),
            ("a.jsonl", "application/jsonl"),
        ] {
            assert_eq!(media_type(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn the_types_of_media_packages_and_data_sets() {
        for (name, expected) in [
            ("a.mp4", "video/mp4"),
            ("a.m4s", "video/iso.segment"),
            ("a.webm", "video/webm"),
            ("a.m3u8", "application/vnd.apple.mpegurl"),
            ("a.mpd", "application/dash+xml"),
            ("segment1.ts", "video/mp2t"),
            ("a.vtt", "text/vtt; charset=utf-8"),
            ("a.mp3", "audio/mpeg"),
            ("a.m4a", "audio/mp4"),
            ("a.flac", "audio/flac"),
            ("a.opus", "audio/ogg"),
            ("a.weba", "audio/webm"),
            ("a.gz", "application/gzip"),
            ("a.tar.gz", "application/gzip"),
            ("a.tgz", "application/gzip"),
            ("a.tar.zst", "application/zstd"),
            ("a.zst", "application/zstd"),
            ("a.br", "application/x-brotli"),
            ("a.xz", "application/x-xz"),
            ("a.tar", "application/x-tar"),
            ("a.zip", "application/zip"),
            ("a.iso", "application/x-iso9660-image"),
            ("a.deb", "application/vnd.debian.binary-package"),
            ("a.rpm", "application/x-rpm"),
            ("a.whl", "application/zip"),
            ("a.parquet", "application/vnd.apache.parquet"),
            ("a.safetensors", "application/octet-stream"),
            ("a.gguf", "application/octet-stream"),
            ("a.usdz", "model/vnd.usdz+zip"),
            ("a.glb", "model/gltf-binary"),
        ] {
            assert_eq!(media_type(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn ts_is_video_unless_it_declares_types() {
        assert_eq!(media_type(b"index.d.ts"), media_table::PLAIN);
        assert_eq!(media_type(b"App.D.TS"), media_table::PLAIN);
        assert_eq!(media_type(b"App.tsx"), media_table::PLAIN);
        assert_eq!(media_type(b"d.ts"), "video/mp2t");
        assert_eq!(media_type(b".d.ts"), "video/mp2t");
    }

    #[test]
    fn names_without_a_telling_extension() {
        for name in [
            "mystery",
            "a.",
            ".",
            "",
            ".bashrc",
            ".html",
            "a.nothing-known",
            "Mr. Smith's things",
            "a.extension-longer-than-any-in-the-tables",
        ] {
            assert_eq!(media_type(name.as_bytes()), UNKNOWN, "{name}");
        }
        assert_eq!(media_type(b"a.\xff\xfe"), UNKNOWN);
        assert_eq!(media_type(b"\xff.html"), "text/html; charset=utf-8");
        for name in ["README", "readme", "LICENSE", "LICENSE-MIT", "Makefile", "SHA256SUMS"] {
            assert_eq!(media_type(name.as_bytes()), media_table::PLAIN, "{name}");
        }
        assert_eq!(media_type(b"README.md"), "text/markdown; charset=utf-8");
    }

    /// The table beneath ours knows some fifteen hundred extensions; each of its text types must
    /// get a charset, and none may be anything but a plain type.
    #[test]
    fn every_known_text_type_has_a_charset() {
        let mut seen = 0;
        let extensions = mime_guess::get_mime_extensions_str("*/*").expect("the reverse table");
        for extension in extensions {
            let answer = media_type(format!("a.{extension}").as_bytes());
            assert_eq!(
                answer.starts_with("text/"),
                answer.ends_with("; charset=utf-8"),
                "{extension}: {answer}"
            );
            seen += 1;
        }
        assert!(seen > 1000, "only {seen} extensions");
    }
}
