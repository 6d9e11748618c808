//! The page a person sees when something is not as it should be.

use std::fmt::{self, Write as _};

use crate::status::Status;

/// A small HTML page that names the status and says `detail`, which is escaped.
///
/// It needs nothing else from the network, and follows the reader's choice of light or dark.
///
/// ```
/// use sendrail_http::{render::error_page, status::Status};
/// let page = error_page(Status::NOT_FOUND, "There is no <b> here.");
/// assert!(page.contains("404") && page.contains("There is no &lt;b&gt; here."));
/// ```
pub fn error_page(status: Status, detail: &str) -> String {
    let code = status.code();
    let reason = status.reason();
    let mut page = String::with_capacity(PAGE_BYTES + detail.len());
    write!(
        page,
        "<!doctype html>\n\
         <html lang=\"en\">\n\
         <meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{code} {reason}</title>\n\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto 0;\
         padding:0 1rem}}h1{{font-size:1.5rem}}h1 span{{opacity:.55}}</style>\n\
         <h1><span>{code}</span> {reason}</h1>\n\
         <p>{}</p>\n\
         </html>\n",
        Escaped(detail)
    )
    .expect("writing to a String cannot fail");
    page
}

/// About what the page takes without its detail.
const PAGE_BYTES: usize = 512;

/// Text that cannot become markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
