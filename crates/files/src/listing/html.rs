//! The listing as a page: it needs no script, loads nothing, and works on a telephone.

use std::fmt::{self, Write};

use super::show::{encoded, escape, grouped, readable_size, rfc3339};
use super::{Direction, EntryKind, Listing, ListingEntry, Order, SortBy};

const STYLE: &str = include_str!("style.css");

/// About what one row takes; a good guess saves copying megabytes while a large page grows.
const BYTES_PER_ROW: usize = 256;

pub(super) fn page(listing: &Listing, shown_path: &str, order: Order) -> Vec<u8> {
    let mut out = String::with_capacity(4096 + listing.entries.len() * BYTES_PER_ROW);
    write(&mut out, listing, shown_path, order).expect("a string takes all that is written");
    out.into_bytes()
}

fn write(out: &mut String, listing: &Listing, shown_path: &str, order: Order) -> fmt::Result {
    let segments: Vec<&str> = shown_path.split('/').filter(|segment| !segment.is_empty()).collect();
    head(out, &segments)?;
    breadcrumbs(out, &segments)?;
    let entries = listing.ordered(order);
    if entries.is_empty() {
        out.push_str("<p class=\"empty\">Nothing here.</p>\n");
    } else {
        out.push_str("<table>\n<thead><tr>");
        column(out, "n", "Name", SortBy::Name, order)?;
        column(out, "s", "Size", SortBy::Size, order)?;
        column(out, "t", "Modified (UTC)", SortBy::Modified, order)?;
        out.push_str("</tr></thead>\n<tbody>\n");
        for entry in entries {
            row(out, entry)?;
        }
        out.push_str("</tbody>\n</table>\n");
    }
    foot(out, listing)?;
    out.push_str("</body>\n</html>\n");
    Ok(())
}

fn head(out: &mut String, segments: &[&str]) -> fmt::Result {
    out.push_str(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>/",
    );
    for segment in segments {
        escape(out, segment);
        out.push('/');
    }
    write!(out, "</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n")
}

/// Upward links by "../" alone: they hold whatever the bytes of the names are, and behind any
/// prefix that a proxy has taken away.
fn breadcrumbs(out: &mut String, segments: &[&str]) -> fmt::Result {
    out.push_str("<nav aria-label=\"path\"><h1>");
    let up = |levels: usize| if levels == 0 { "./".to_owned() } else { "../".repeat(levels) };
    write!(out, "<a href=\"{}\">/</a>", up(segments.len()))?;
    for (position, segment) in segments.iter().enumerate() {
        let levels = segments.len() - 1 - position;
        let current = if levels == 0 { " aria-current=\"page\"" } else { "" };
        write!(out, "<a href=\"{}\"{current}><bdi>", up(levels))?;
        escape(out, segment);
        out.push_str("</bdi></a>/");
    }
    out.push_str("</h1></nav>\n");
    Ok(())
}

fn column(out: &mut String, class: &str, title: &str, by: SortBy, order: Order) -> fmt::Result {
    let (sorted, arrow) = match (order.by == by, order.direction) {
        (true, Direction::Ascending) => (" aria-sort=\"ascending\"", " ↑"),
        (true, Direction::Descending) => (" aria-sort=\"descending\"", " ↓"),
        (false, _) => ("", ""),
    };
    out.push_str("<th scope=\"col\"");
    write!(out, " class=\"{class}\"{sorted}><a href=\"./")?;
    escape(out, order.after_click(by).query());
    write!(out, "\">{title}{arrow}</a></th>")
}

fn row(out: &mut String, entry: &ListingEntry) -> fmt::Result {
    let slash = if entry.kind == EntryKind::Directory { "/" } else { "" };
    // "./" first: a name like "c:d" would else be taken for a scheme.
    let href = encoded(&entry.name);
    write!(out, "<tr><td class=\"n\"><a href=\"./{href}{slash}\"><bdi>")?;
    escape(out, &String::from_utf8_lossy(&entry.name));
    write!(out, "</bdi>{slash}</a></td>")?;
    match entry.len {
        Some(len) => {
            let (exact, size) = (grouped(len), readable_size(len));
            write!(out, "<td class=\"s\" title=\"{exact} bytes\">{size}</td>")?;
        }
        None => out.push_str("<td class=\"s\"></td>"),
    }
    let time = rfc3339(entry.modified);
    let (date, minute) = (&time[..10], &time[11..16]);
    writeln!(
        out,
        "<td class=\"t\"><time datetime=\"{time}\" title=\"{time}\">{date} {minute}</time></td></tr>"
    )
}

fn foot(out: &mut String, listing: &Listing) -> fmt::Result {
    let directories =
        listing.entries.iter().filter(|entry| entry.kind == EntryKind::Directory).count() as u64;
    let files = listing.entries.len() as u64 - directories;
    let total = listing.total_len();
    let count = |number: u64, one: &str, many: &str| {
        format!("{} {}", grouped(number), if number == 1 { one } else { many })
    };
    writeln!(
        out,
        "<footer>{}, {}, <span title=\"{} bytes\">{}</span></footer>",
        count(directories, "directory", "directories"),
        count(files, "file", "files"),
        grouped(total),
        readable_size(total),
    )
}
