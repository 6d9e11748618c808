//! Decimal numbers as HTTP writes them: `1*DIGIT` and nothing else.

/// Why [`decimal`] gave no number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotDecimal {
    /// Empty, or some byte is not a digit: `"+5"`, `"0x10"`, `"5 "`, `"5, 5"`.
    Syntax,
    /// Only digits, but more than a `u64` holds.
    Overflow,
}

/// `str::parse` is not used because it takes a leading `+`, and a front-end that reads `+5`
/// differently from us is a way to smuggle a request.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, NotDecimal> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotDecimal::Syntax);
    }
    digits
        .iter()
        .try_fold(0u64, |n, digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
        .ok_or(NotDecimal::Overflow)
}

#[cfg(test)]
mod tests {
    use super::{NotDecimal, decimal};

    #[test]
    fn only_digits_within_u64() {
        assert_eq!(decimal(b"0"), Ok(0));
        assert_eq!(decimal(b"007"), Ok(7));
        assert_eq!(decimal(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(decimal(b"18446744073709551616"), Err(NotDecimal::Overflow));
        for bad in [&b""[..], b"+5", b"-5", b" 5", b"5 ", b"5,5", b"0x5", b"5.0", b"\xb2"] {
            assert_eq!(decimal(bad), Err(NotDecimal::Syntax), "{bad:?}");
        }
    }
}
