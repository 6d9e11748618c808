//! The forms of a log line: common, combined, JSON. Each carries the receipt.

use super::Line;
use crate::cli::LogFormat;
use sendrail_http::date::format_http_date;
use sendrail_transfer::receive::Received;
use serde::Serialize;
use std::io::Write;

/// Appends one line. Writing to memory cannot fail.
pub(super) fn append(out: &mut Vec<u8>, format: LogFormat, line: &Line<'_>) {
    match format {
        LogFormat::Common => common(out, line, false),
        LogFormat::Combined => common(out, line, true),
        LogFormat::Json => json(out, line),
    }
    out.push(b'\n');
}

/// The Common Log Format, with Referer and User-Agent if `combined`, then the receipt.
fn common(out: &mut Vec<u8>, line: &Line<'_>, combined: bool) {
    let record = line.record;
    let date = format_http_date(record.unix.as_secs() as i64);
    // "Sat, 21 Nov 2026 12:48:23 GMT" holds all that "[21/Nov/2026:12:48:23 +0000]" wants.
    let [day, month, year, time] =
        [5..7, 8..11, 12..16, 17..25].map(|part| String::from_utf8_lossy(&date[part]).into_owned());
    let upload = record.upload.as_deref();
    // A name has nothing in it that would need quotes.
    let user = upload.and_then(|upload| upload.user.as_deref()).unwrap_or("-");
    let _ = write!(out, "{} - {user} [{day}/{month}/{year}:{time} +0000] \"", record.peer.ip());
    escape(out, record.method.as_bytes());
    if !record.target.is_empty() {
        out.push(b' ');
        escape(out, &record.target);
        let _ = write!(out, " {}", record.version);
    }
    let _ = write!(out, "\" {} {}", line.status.code(), line.body);
    if combined {
        for field in [&record.referer, &record.user_agent] {
            out.extend_from_slice(b" \"");
            escape(out, field.as_deref().unwrap_or(b"-"));
            out.push(b'"');
        }
    }
    let micros = line.elapsed.as_micros();
    let _ = write!(out, " {} us={micros} end={}", line.receipt, line.end.name());
    if let Some(received) = upload.and_then(|upload| upload.received.as_ref()) {
        let _ = write!(out, " received={} by {received}", received.bytes);
    }
}

/// Makes bytes from a client harmless within quotes: as nginx does, `\xHH` for whatever could end
/// the quotes or the line, or is not ASCII.
fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') {
            out.push(byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    time: String,
    peer: String,
    method: &'a str,
    target: std::borrow::Cow<'a, str>,
    version: &'a str,
    status: u16,
    body_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<std::borrow::Cow<'a, str>>,
    micros: u64,
    end: &'static str,
    receipt: JsonReceipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<JsonReceived>,
}

/// The receipt of a request's body.
#[derive(Serialize)]
struct JsonReceived {
    method: String,
    bytes: u64,
    system_calls: u64,
    copied: u64,
    socket_waits: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
}

impl JsonReceived {
    fn of(received: &Received) -> Self {
        let methods: Vec<&str> = received.methods.iter().map(|method| method.name()).collect();
        Self {
            method: methods.join("+"),
            bytes: received.bytes,
            system_calls: received.system_calls,
            copied: received.copied,
            socket_waits: received.waits,
            refused: received.refusals.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize)]
struct JsonReceipt {
    method: String,
    bytes: u64,
    file_bytes: u64,
    system_calls: u64,
    copied: u64,
    cold: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    known_by: Option<String>,
    socket_waits: u32,
    disk_waits: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<String>,
}

fn json(out: &mut Vec<u8>, line: &Line<'_>) {
    let record = line.record;
    let receipt = line.receipt;
    let json = Json {
        time: rfc3339(record.unix),
        peer: record.peer.to_string(),
        method: &record.method,
        target: String::from_utf8_lossy(&record.target),
        version: record.version,
        status: line.status.code(),
        body_bytes: line.body,
        referer: record.referer.as_deref().map(String::from_utf8_lossy),
        user_agent: record.user_agent.as_deref().map(String::from_utf8_lossy),
        micros: line.elapsed.as_micros() as u64,
        end: line.end.name(),
        receipt: JsonReceipt {
            method: receipt.methods.to_string(),
            bytes: receipt.bytes,
            file_bytes: receipt.file_bytes,
            system_calls: receipt.system_calls,
            copied: receipt.copied,
            cold: receipt.cold,
            known_by: (!receipt.evidence.is_empty()).then(|| receipt.evidence.to_string()),
            socket_waits: receipt.socket_waits,
            disk_waits: receipt.disk_waits,
            refused: receipt.refusals.iter().map(|refusal| refusal.to_string()).collect(),
        },
        user: record.upload.as_deref().and_then(|upload| upload.user.as_deref()),
        received: record
            .upload
            .as_deref()
            .and_then(|upload| upload.received.as_ref())
            .map(JsonReceived::of),
    };
    serde_json::to_writer(&mut *out, &json)
        .expect("plain fields always make JSON, and memory takes it");
}

/// `2026-11-21T12:48:23.042Z`, from the parts of an HTTP date.
fn rfc3339(unix: std::time::Duration) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = format_http_date(unix.as_secs() as i64);
    let text = String::from_utf8_lossy(&date);
    let month = MONTHS.iter().position(|name| *name == &text[8..11]).map_or(0, |index| index + 1);
    let milliseconds = unix.subsec_millis();
    format!("{}-{month:02}-{}T{}.{milliseconds:03}Z", &text[12..16], &text[5..7], &text[17..25])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{End, Record, Upload};
    use sendrail_http::status::Status;
    use sendrail_transfer::Receipt;
    use std::time::{Duration, Instant};

    fn record(target: &[u8]) -> Record {
        Record {
            peer: ([127, 0, 0, 1], 5000).into(),
            unix: Duration::from_millis(1_795_265_303_042),
            started: Instant::now(),
            method: "GET".into(),
            target: target.into(),
            version: "HTTP/1.1",
            referer: None,
            user_agent: Some((*b"a\"b\n").into()),
            upload: None,
        }
    }

    fn line(format: LogFormat, target: &[u8]) -> String {
        let record = record(target);
        let mut receipt = Receipt::default();
        (receipt.bytes, receipt.copied, receipt.system_calls) = (300, 300, 1);
        let line = Line {
            record: &record,
            status: Status::OK,
            body: 100,
            receipt: &receipt,
            elapsed: Duration::from_micros(42),
            end: End::Complete,
        };
        let mut out = Vec::new();
        append(&mut out, format, &line);
        String::from_utf8(out).expect("a log line is ASCII")
    }

    #[test]
    fn common_and_combined() {
        let common = line(LogFormat::Common, b"/x");
        assert_eq!(
            common,
            "127.0.0.1 - - [21/Nov/2026:12:48:23 +0000] \"GET /x HTTP/1.1\" 200 100 \
             memory calls=1 copied=300 cold=0 waits=0/0 us=42 end=complete\n"
        );
        let combined = line(LogFormat::Combined, b"/x");
        assert!(combined.contains(r#" 200 100 "-" "a\x22b\x0A" memory "#), "{combined}");
    }

    #[test]
    fn of_an_upload_whose_it_was_and_what_was_received() {
        let mut record = record(b"/x");
        let mut received = Received::default();
        (received.bytes, received.system_calls) = (7, 3);
        let upload = Upload { user: Some("alice".into()), received: Some(received) };
        record.set_upload(upload);
        let receipt = Receipt::default();
        let line = Line {
            record: &record,
            status: Status::CREATED,
            body: 0,
            receipt: &receipt,
            elapsed: Duration::from_micros(42),
            end: End::Complete,
        };
        let mut out = Vec::new();
        append(&mut out, LogFormat::Common, &line);
        let text = String::from_utf8(out).expect("a log line is ASCII");
        assert!(text.starts_with("127.0.0.1 - alice ["), "{text}");
        let receipt = " end=complete received=7 by nothing calls=3 copied=0 waits=0\n";
        assert!(text.ends_with(receipt), "{text}");
    }

    #[test]
    fn json_is_json_whatever_the_client_sent() {
        let text = line(LogFormat::Json, b"/\xff\"\r\n");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["time"], "2026-11-21T12:48:23.042Z");
        assert_eq!(value["target"], "/\u{fffd}\"\r\n");
        assert_eq!(value["receipt"]["copied"], 300);
        assert_eq!(text.matches('\n').count(), 1);
    }
}
