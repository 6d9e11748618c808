//! Our own table of media types, before the general one: what browsers, players and package tools
//! expect today, where the general table is older or silent.

/// Text that a browser shows.
pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";

const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8"; // RFC 9239
const TRANSPORT_STREAM: &str = "video/mp2t"; // RFC 3555

/// By lower-case extension.
#[rustfmt::skip] // one line per kind of file reads better than one per extension
pub(crate) fn ours(extension: &str) -> Option<&'static str> {
    Some(match extension {
        // The web.
        "js" | "mjs" | "cjs" | "jsx" => SCRIPT,
        "map" | "har" | "topojson" => JSON,
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "xml" | "xsd" | "xsl" | "xslt" | "rng" => "application/xml",
        "avif" => "image/avif",
        "webp" => "image/webp",
        "jxl" => "image/jxl",
        "apng" => "image/apng",
        "woff" => "font/woff", // RFC 8081
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        "ttc" => "font/collection",
        "geojson" => "application/geo+json",
        "jsonl" => "application/jsonl",
        "ndjson" => "application/x-ndjson",
        "jsonld" => "application/ld+json",
        "ipynb" => "application/x-ipynb+json",
        "cbor" => "application/cbor",

        // Video and audio.
        "mp4" | "m4v" => "video/mp4",
        "m4s" => "video/iso.segment",
        "ts" | "mts" | "m2ts" => TRANSPORT_STREAM,
        "m3u8" => "application/vnd.apple.mpegurl", // RFC 8216
        "mpd" => "application/dash+xml",
        "m4a" => "audio/mp4",
        "flac" => "audio/flac",
        "opus" => "audio/ogg", // RFC 7845
        "weba" => "audio/webm",
        "vtt" => "text/vtt; charset=utf-8",

        // Text that people read.
        "md" | "markdown" => "text/markdown; charset=utf-8", // RFC 7763
        "yaml" | "yml" => "application/yaml", // RFC 9512
        "toml" => "application/toml",
        "log" | "conf" | "cfg" | "ini" | "env" | "properties" | "lock" | "diff" | "patch" | "rst" | "adoc" | "tex"
        | "rs" | "go" | "py" | "pyi" | "c" | "h" | "cc" | "cpp" | "cxx" | "hh" | "hpp" | "zig" | "nix" | "java" | "kt"
        | "swift" | "scala" | "rb" | "pl" | "pm" | "lua" | "sh" | "bash" | "zsh" | "fish" | "sql" | "tsx" | "cts"
        | "vue" | "svelte" | "scss" | "sass" | "less" | "proto" | "graphql" | "tf" | "hcl" | "cmake" | "mk" | "hs"
        | "erl" | "ex" | "exs" | "jl" | "vim" | "asc" | "md5" | "sha1" | "sha256" | "sha512" | "list" => PLAIN,

        // Packages and archives.
        // RFC 6713. An svgz is an SVG image only to who adds a Content-Encoding, as nobody does here.
        "gz" | "tgz" | "svgz" | "crate" => "application/gzip",
        "zst" | "tzst" => "application/zstd", // RFC 8878
        "br" => "application/x-brotli",
        "xz" | "txz" => "application/x-xz",
        "bz2" | "tbz2" => "application/x-bzip2",
        "lz4" => "application/x-lz4",
        "tar" => "application/x-tar",
        "zip" | "whl" | "nupkg" => "application/zip",
        "rar" => "application/vnd.rar",
        "iso" => "application/x-iso9660-image",
        "deb" | "udeb" => "application/vnd.debian.binary-package",
        "rpm" | "drpm" => "application/x-rpm",
        "dmg" => "application/x-apple-diskimage",

        // Data sets, models, scenes.
        "parquet" => "application/vnd.apache.parquet",
        "arrow" | "feather" => "application/vnd.apache.arrow.file",
        "sqlite" | "sqlite3" => "application/vnd.sqlite3",
        "pmtiles" => "application/vnd.pmtiles",
        "h5" | "hdf5" => "application/x-hdf5",
        "safetensors" | "gguf" | "onnx" | "pt" | "pth" | "ckpt" | "npy" | "npz" | "bin" | "img" => BYTES,
        "usdz" => "model/vnd.usdz+zip",
        "glb" => "model/gltf-binary",
        "gltf" => "model/gltf+json",
        "stl" => "model/stl",
        "obj" => "model/obj",
        "3mf" => "model/3mf",
        _ => return None,
    })
}

macro_rules! in_utf8 {
    ($type:expr; $($known:literal)+) => {
        match $type {
            $($known => concat!($known, "; charset=utf-8"),)+
            // A text type that a newer general table has added: shown, if without its fine name.
            other if other.starts_with("text/") => PLAIN,
            other => other,
        }
    };
}

/// Adds the charset to a type of the general table, which has none.
pub(crate) fn with_charset(media_type: &'static str) -> &'static str {
    if media_type == "text/xml" {
        // RFC 7303 §8.1: a charset parameter would overrule the document's own declaration.
        return "application/xml";
    }
    in_utf8!(media_type;
        "text/cache-manifest" "text/calendar" "text/coffeescript" "text/css" "text/csv"
        "text/gemini" "text/html" "text/javascript" "text/markdown" "text/mathml" "text/n3"
        "text/plain" "text/richtext" "text/sgml" "text/tab-separated-values" "text/turtle"
        "text/uri-list" "text/vcard" "text/vnd.graphviz" "text/vnd.wap.wml" "text/vtt"
        "text/x-component" "text/x-opml" "text/x-vcard"
    )
}
