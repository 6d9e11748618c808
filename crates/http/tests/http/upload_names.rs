//! Names that clients give to what they bring.

use sendrail_http::upload::file_name;

/// RFC 6266 §5, RFC 8187 §3.2.3, and what must not lead anywhere.
#[test]
fn names_that_clients_give() {
    for (value, name) in [
        ("Attachment; filename=example.html", Some("example.html")),
        (r#"INLINE; FILENAME= "an example.html""#, Some("an example.html")),
        (r#"attachment; filename="a \"quoted\" one""#, Some("a \"quoted\" one")),
        (r#"attachment; filename="with;semicolon=""#, Some("with;semicolon=")),
        (
            r#"attachment; filename="EURO rates"; filename*=utf-8''%e2%82%ac%20rates"#,
            Some("€ rates"),
        ),
        ("attachment; filename*=UTF-8'en'%e2%82%ac; filename=plain", Some("€")),
        ("attachment; filename*=iso-8859-1''%a3; filename=plain", Some("plain")),
        ("attachment; filename*=UTF-8''%ff; filename=plain", Some("plain")),
        (r#"form-data; name="f"; filename="C:\\dir\\file.txt""#, Some("file.txt")),
        ("attachment; filename*=UTF-8''..%2f..%2fpasswd", Some("passwd")),
        (r#"attachment; filename="..""#, None),
        (r#"attachment; filename="dir/""#, None),
        ("attachment; filename*=UTF-8''a%00b", None),
        (r#"attachment; filename="open"#, None),
        ("attachment; filename", None),
        (r#"attachment; filename="a"b"#, None),
        ("attachment", None),
    ] {
        assert_eq!(file_name(value.as_bytes()).as_deref(), name, "{value}");
    }
    assert_eq!(file_name(b"attachment; filename=\xff"), None);
}
