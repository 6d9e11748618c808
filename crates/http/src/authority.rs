//! `host [":" port]`, strictly: a Host that two parties read differently poisons caches.

/// Bytes of a `reg-name` (RFC 3986 §3.2.2): unreserved, sub-delims, and `%` of an escape.
const REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0usize;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-._~!$&'()*+,;=%";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
};

/// Whether `authority` is a host and an optional port, without user information.
///
/// User information is refused as RFC 9110 §4.2.4 advises. The empty host is valid here because
/// a client must send an empty Host field where the target has no authority (RFC 9112 §3.2).
pub(crate) fn is_host_and_port(authority: &[u8]) -> bool {
    let after_host = if authority.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', authority) else { return false };
        if !is_ip_literal(&authority[1..end]) {
            return false;
        }
        &authority[end + 1..]
    } else {
        let end =
            authority.iter().position(|&byte| !REG_NAME[byte as usize]).unwrap_or(authority.len());
        &authority[end..]
    };
    match after_host {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_ip_literal(inside: &[u8]) -> bool {
    match inside.first() {
        None => false,
        // IPvFuture: "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
        Some(b'v' | b'V') => {
            inside.iter().all(|&byte| byte == b':' || (REG_NAME[byte as usize] && byte != b'%'))
        }
        Some(_) => {
            inside.contains(&b':')
                && inside.iter().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_host_and_port;

    #[test]
    fn hosts() {
        let good = ["", "a", "example.com", "example.com:80", "a:", "127.0.0.1:8080", "[::1]"];
        let more = ["[::1]:443", "[v7.a:b]", "xn--bcher-kva.example", "a_b", "%41"];
        for host in good.iter().chain(&more) {
            assert!(is_host_and_port(host.as_bytes()), "{host}");
        }
        let bad = ["a b", "a/b", "a:b", "a:80:80", "u@h", "u:p@h", "[::1", "::1", "[]", "[a]"];
        let worse = ["[::1]x", "a\\b", "a#", "a?", "é", "a\tb", "a\0", "\"a\"", "<a>", "[::1]80"];
        for host in bad.iter().chain(&worse) {
            assert!(!is_host_and_port(host.as_bytes()), "{host}");
        }
    }
}
