//! The report as one page: the table, what the time is, and the way of a byte for each way of sending,
//! with what was measured on its arrows. No script, and nothing from elsewhere.

use super::{notes, parts::parts, sending};
use crate::{
    article::{asserted, remark},
    link::Link,
    report,
    table::{Row, Table},
    way::Way,
};
use maud::{Markup, html};

/// The page.
pub fn page(table: &Table) -> String {
    let body = html! {
        (sending(table).html())
        (report::notes(&notes(table)))
        h2 { "Processor time" }
        p { "Of the sender, in seconds per GiB; hot and, below it, cold." }
        (bars(table))
        h2 { "The way of a byte" }
        p { "A thick line is a copy by the processor, a dashed one is none. The numbers are bytes copied per byte sent, in this run; at the border, how often it is crossed." }
        div class="ways" { @for row in table.rows.iter().filter(|row| !row.cold) { (path_of_a_byte(row)) } }
        @for part in parts(table) {
            h2 { (part.title) }
            (part.grid.html())
            (report::notes(&part.words))
        }
    };
    report::page("The articles’ table, measured", &body)
}

/// A bar for each row, hot and cold of one way together.
fn bars(table: &Table) -> Markup {
    const STEP: usize = 22;
    let rows: Vec<&Row> = table.rows.iter().filter(|row| row.link == Link::Loopback).collect();
    let most = rows.iter().map(|row| row.figures.cpu).fold(f64::MIN_POSITIVE, f64::max);
    let height = rows.len() * STEP + 4;
    html! {
        svg class="bars" viewBox=(format!("0 0 640 {height}")) role="img" aria-label="Processor time of each way" {
            @for (at, row) in rows.iter().enumerate() {
                @let (y, width) = (at * STEP + 3, 340.0 * row.figures.cpu / most);
                @let state = if row.cold { "cold" } else { "hot" };
                @if !row.cold { text x="200" y=(y + 13) text-anchor="end" { (row.way.to_string()) } }
                rect class=(state) x="210" y=(y) width=(format!("{width:.1}")) height="16" {}
                text x=(format!("{:.1}", 218.0 + width)) y=(y + 13) { (format!("{:.3} {state}", row.figures.cpu)) }
            }
        }
    }
}

/// Where a box of the drawing stands.
#[derive(Clone, Copy)]
enum Place {
    Disk,
    Cache,
    Process,
    Socket,
    Device,
}

impl Place {
    const ALL: [Self; 5] = [Self::Disk, Self::Cache, Self::Process, Self::Socket, Self::Device];

    fn at(self) -> (f64, f64) {
        match self {
            Self::Disk => (50.0, 130.0),
            Self::Cache => (180.0, 130.0),
            Self::Process => (320.0, 40.0),
            Self::Socket => (460.0, 130.0),
            Self::Device => (590.0, 130.0),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Cache => "page cache",
            Self::Process => "process",
            Self::Socket => "socket",
            Self::Device => "network",
        }
    }
}

/// How bytes come from one box to the next.
#[derive(Clone, Copy)]
enum Step {
    /// A device moves them.
    Dma,
    /// The processor copies so many times as many as are sent; nobody knows how many.
    Cpu(Option<f64>),
    /// Nobody does: a reference is passed on, or the same pages are seen from elsewhere.
    Reference(&'static str),
}

fn steps(row: &Row) -> Vec<(Place, Place, Step)> {
    use Place::{Cache, Device, Disk, Process, Socket};
    let figures = &row.figures;
    let (read, sent) = (Step::Cpu(figures.read), Step::Cpu(figures.sent));
    let mut steps = match row.way {
        Way::ReadWrite { .. } | Way::Uncached | Way::RingRead => {
            vec![(Disk, Cache, Step::Dma), (Cache, Process, read), (Process, Socket, sent)]
        }
        Way::ReadZerocopy { .. } => vec![
            (Disk, Cache, Step::Dma),
            (Cache, Process, read),
            (Process, Socket, Step::Reference("pinned pages")),
        ],
        Way::MmapZerocopy { .. } => {
            vec![(Disk, Cache, Step::Dma), (Cache, Socket, Step::Reference("pinned pages"))]
        }
        Way::MmapWrite => vec![
            (Disk, Cache, Step::Dma),
            (Cache, Process, Step::Reference("mapped")),
            (Process, Socket, sent),
        ],
        Way::Sendfile | Way::Splice | Way::Sendrail | Way::Front(_) | Way::Known => {
            let passed = match figures.sent {
                Some(copied) if copied > 0.02 => sent,
                _ => Step::Reference("pages passed on"),
            };
            vec![(Disk, Cache, Step::Dma), (Cache, Socket, passed)]
        }
        Way::Direct => vec![(Disk, Process, Step::Dma), (Process, Socket, sent)],
        Way::DirectZerocopy => {
            vec![(Disk, Process, Step::Dma), (Process, Socket, Step::Reference("pinned pages"))]
        }
        Way::Checksum(_) => vec![(Disk, Cache, Step::Dma), (Cache, Process, read)],
    };
    steps.push((
        Socket,
        Device,
        match (figures.forced, row.link) {
            (Some(forced), _) if forced > 0.02 => Step::Cpu(Some(forced)),
            (_, Link::Loopback) => Step::Reference("no device"),
            _ => Step::Dma,
        },
    ));
    steps
}

fn path_of_a_byte(row: &Row) -> Markup {
    let copies = row.figures.copies.map_or_else(|| "?".to_owned(), |copies| format!("{copies:.2}"));
    let switches = match (row.figures.switches_a_pass, row.figures.switches) {
        (Some(a_pass), Some(switches)) => {
            format!("{a_pass:.1} crossings a pass, {switches:.1} a MiB")
        }
        _ => format!("{:.2} calls a MiB", row.figures.calls),
    };
    html! {
        figure {
            figcaption {
                strong { (row.way.to_string()) @if row.link != Link::Loopback { ", " (row.link.to_string()) } }
                @if let Some(asserted) = asserted(row.way, row.link) {
                    "Asserted: " (asserted.cpu_copies) " copies by the processor, " (asserted.switches) " switches a pass; measured: " (copies) " copies. "
                }
                (capital(remark(row.way))) "."
            }
            svg viewBox="0 0 640 180" role="img" aria-label=(format!("The way of a byte by {}", row.way)) {
                line class="border" x1="0" y1="82" x2="640" y2="82" {}
                text class="lane" x="4" y="74" { "user" }
                text class="lane" x="4" y="98" { "kernel" }
                text class="lane" x="636" y="16" text-anchor="end" { (switches) }
                @for (from, to, step) in steps(row) { (arrow(from.at(), to.at(), step)) }
                @for place in Place::ALL {
                    @let (x, y) = place.at();
                    rect class="box" x=(x - 42.0) y=(y - 15.0) width="84" height="30" rx="4" {}
                    text x=(x) y=(y + 5.0) text-anchor="middle" { (place.name()) }
                }
            }
        }
    }
}

fn arrow((x1, y1): (f64, f64), (x2, y2): (f64, f64), step: Step) -> Markup {
    let (class, label) = match step {
        Step::Dma => ("dma", "DMA".to_owned()),
        Step::Cpu(Some(times)) => ("cpu", format!("copied {times:.2}")),
        Step::Cpu(None) => ("cpu", "copied".to_owned()),
        Step::Reference(how) => ("reference", how.to_owned()),
    };
    let (x, y) = (f64::midpoint(x1, x2), f64::midpoint(y1, y2));
    // Beside what goes up or down, below what goes along.
    let (dx, dy, anchor) = match (y2 - y1).partial_cmp(&0.0) {
        Some(std::cmp::Ordering::Less) => (-10.0, -2.0, "end"),
        Some(std::cmp::Ordering::Greater) => (10.0, -2.0, "start"),
        _ => (0.0, 34.0, "middle"),
    };
    html! {
        line class=(class) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {}
        text class=(class) x=(x + dx) y=(y + dy) text-anchor=(anchor) { (label) }
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{machine::Machine, sample::Figures};

    fn table() -> Table {
        let figures = Figures {
            read: Some(1.0),
            sent: Some(1.0),
            copies: Some(2.0),
            cpu: 0.5,
            ..Figures::default()
        };
        let passed = Figures { read: Some(0.0), sent: Some(0.0), copies: Some(0.0), ..figures };
        let rows = Way::ALL.iter().flat_map(|&way| {
            let zero_copy = matches!(way, Way::Sendfile | Way::Splice);
            let figures = if zero_copy { passed } else { figures };
            [false, true].map(|cold| Row { way, link: Link::Loopback, cold, figures })
        });
        Table {
            len: 64 << 20,
            rounds: 3,
            blind: None,
            rows: rows.collect(),
            warnings: vec!["what is in /tmp/<a> & \"b\" is hot".to_owned()],
            samples: Vec::new(),
            machine: Machine::default(),
            self_tests: Vec::new(),
            fronts: Vec::new(),
            checksums: Vec::new(),
            overwritten: Vec::new(),
            private: Vec::new(),
            reflink: None,
        }
    }

    #[test]
    fn it_is_whole_and_of_one_piece() {
        let page = page(&table());
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
        for from_elsewhere in ["http:", "https:", "<script", "@import", "url("] {
            assert!(!page.contains(from_elsewhere), "{from_elsewhere}");
        }
        assert_eq!(page.matches("<figure>").count(), Way::ALL.len());
        assert!(page.contains("/tmp/&lt;a&gt; &amp; &quot;b&quot;"));
        for tag in ["svg", "table", "thead", "figure", "figcaption", "div", "ul", "li", "tr", "td"]
        {
            let count = |text: String| page.matches(text.as_str()).count();
            let opened = count(format!("<{tag}>")) + count(format!("<{tag} "));
            assert_eq!(opened, count(format!("</{tag}>")), "{tag}");
        }
    }

    #[test]
    fn the_arrows_say_what_was_measured() {
        let page = page(&table());
        let figure = |way: &str| {
            let at = page.find(&format!("<strong>{way}</strong>")).expect("a figure");
            page[at..].split("</figure>").next().expect("its end").to_owned()
        };
        assert_eq!(figure("read+write 64 KiB").matches("copied 1.00").count(), 2);
        assert_eq!(figure("mmap+write").matches("copied 1.00").count(), 1);
        assert!(figure("sendfile").contains("pages passed on"));
        assert!(!figure("sendfile").contains("copied 1"));
    }
}
