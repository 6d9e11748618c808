//! Who is who on the page: one colour and one mark per server, the same in every plot and every run.

use std::fmt::Write;

use maud::{Markup, html};

use crate::report::{Role, Run, ServerRecord};

/// On a light and on a dark page. The subject's is the only warm, saturated one.
const SUBJECT: (&str, &str) = ("#d55e00", "#ff8b3d");
const FLOOR: (&str, &str) = ("#808080", "#9a9a9a");

/// Okabe and Ito's and Tol's muted colours, told apart by people who do not see red or green. A server of this name
/// has the same colour in every run; any other gets one that is free.
const PEERS: [(&str, &str, &str); 13] = [
    ("nginx", "#009e73", "#2fc79a"),
    ("h2o", "#0072b2", "#5aa9e6"),
    ("lighttpd", "#cc79a7", "#e39cc3"),
    ("caddy", "#56b4e9", "#8fd0f5"),
    ("apache", "#882255", "#c2648f"),
    ("static-web-server", "#999933", "#c3c35c"),
    ("miniserve", "#5b4fb0", "#9a90e8"),
    ("", "#44aa99", "#6cd0bf"),
    ("", "#b39a3b", "#ddcc77"),
    ("", "#117733", "#4fae6c"),
    ("", "#aa4499", "#d57fc7"),
    ("", "#7a5230", "#c39a74"),
    ("", "#555555", "#b5b5b5"),
];

/// Drawn around 0,0 with a radius of one; scaled where used.
const MARKS: [&str; 9] = [
    "M-1,0a1,1 0 1 0 2,0a1,1 0 1 0 -2,0z",
    "M-.9,-.9h1.8v1.8h-1.8z",
    "M0,-1.25L1.25,0L0,1.25L-1.25,0z",
    "M0,-1.2L1.15,.85h-2.3z",
    "M0,1.2L1.15,-.85h-2.3z",
    "M-.4,-1.2h.8v.8h.8v.8h-.8v.8h-.8v-.8h-.8v-.8h.8z",
    "M-1.2,-.6h2.4v1.2h-2.4z",
    "M-.6,-1.2h1.2v2.4h-1.2z",
    "M0,-1.2L1.15,-.35L.7,1h-1.4L-1.15,-.35z",
];

/// All servers of a run with their looks.
pub(super) struct Lineup<'a> {
    pub(super) servers: &'a [ServerRecord],
    /// Index into `PEERS`, for each server; that of the subject and the floor is not looked at.
    colors: Vec<usize>,
}

impl<'a> Lineup<'a> {
    pub(super) fn of(run: &'a Run) -> Lineup<'a> {
        let known = |server: &ServerRecord| {
            let name = server.name.to_ascii_lowercase();
            PEERS.iter().position(|(known, ..)| *known == name)
        };
        let is_peer = |server: &&ServerRecord| server.role == Role::Peer;
        let taken: Vec<usize> = run.servers.iter().filter(is_peer).filter_map(known).collect();
        let mut free = (0..PEERS.len()).rev().filter(|color| !taken.contains(color)).cycle();
        let color = |server: &ServerRecord| match server.role {
            Role::Peer => known(server).or_else(|| free.next()).unwrap_or(0),
            Role::Subject | Role::Variant | Role::Floor => 0,
        };
        Lineup { servers: &run.servers, colors: run.servers.iter().map(color).collect() }
    }

    /// What the subject is called.
    pub(super) fn subject(&self) -> &'a str {
        self.servers.first().map_or("nobody", |server| &server.name)
    }

    pub(super) fn is_subject(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|server| server.role == Role::Subject)
    }

    pub(super) fn is_floor(&self, server: usize) -> bool {
        self.servers.get(server).is_some_and(|server| server.role == Role::Floor)
    }

    pub(super) fn name(&self, server: usize) -> &'a str {
        self.servers.get(server).map_or("unknown", |server| &server.name)
    }

    /// CSS classes of whatever belongs to a server.
    pub(super) fn class(&self, server: usize) -> String {
        let role = match (self.is_subject(server), self.is_floor(server)) {
            (true, _) => " subject",
            (_, true) => " floor",
            _ => "",
        };
        format!("s s{server}{role}")
    }

    /// The server's mark at 0,0.
    pub(super) fn mark(&self, server: usize, radius: f64) -> Markup {
        let mark = if self.is_subject(server) {
            0
        } else {
            1 + self.colors.get(server).map_or(0, |color| color % (MARKS.len() - 1))
        };
        html! { path.mark d=(MARKS[mark]) transform={ "scale(" (radius) ")" } {} }
    }

    /// The colours, and what choosing a server beside the subject does; by `:has()`, so without script.
    pub(super) fn style(&self) -> String {
        let mut style = String::new();
        self.write_style(&mut style).expect("a String takes whatever is written to it");
        style
    }

    fn write_style(&self, out: &mut String) -> std::fmt::Result {
        let color = |server: usize| match self.servers[server].role {
            Role::Subject => SUBJECT,
            Role::Variant | Role::Floor => FLOOR,
            Role::Peer => {
                let (_, light, dark) = PEERS[self.colors[server]];
                (light, dark)
            }
        };
        for server in 0..self.servers.len() {
            writeln!(out, ".s{server}{{--c:{}}}", color(server).0)?;
        }
        out.push_str("@media screen and (prefers-color-scheme:dark){\n");
        for server in 0..self.servers.len() {
            writeln!(out, ".s{server}{{--c:{}}}", color(server).1)?;
        }
        out.push_str("}\n");
        for server in 1..self.servers.len() {
            let picked = format!(":root:has(#pick{server}:checked)");
            writeln!(out, "{picked} svg .s:not(.s{server},.subject){{opacity:.1}}")?;
            writeln!(out, "{picked} svg .whisker:not(.s{server}){{display:none}}")?;
            writeln!(out, "{picked} svg .whisker.s{server}{{display:inline}}")?;
            writeln!(out, "{picked} .figures .s{server}>*{{background:var(--picked)}}")?;
        }
        Ok(())
    }

    /// The legend, which is also the choice of whom to look at beside the subject.
    pub(super) fn legend(&self) -> Markup {
        let chip = |server: usize| {
            html! {
                svg.key viewBox="-8 -8 16 16" aria-hidden="true" {
                    g class=(self.class(server).trim_start_matches("s ")) { (self.mark(server, 5.5)) }
                }
                span { (self.name(server)) }
            }
        };
        html! {
            fieldset.legend {
                legend.quiet { "Beside " (self.subject()) ", show" }
                label.chip { input #pick-all type="radio" name="pick" checked; span { "everyone" } }
                @for server in 0..self.servers.len() {
                    @if self.is_subject(server) {
                        span.chip.subject { (chip(server)) }
                    } @else {
                        label.chip { input id=(format!("pick{server}")) type="radio" name="pick"; (chip(server)) }
                    }
                }
            }
        }
    }
}
