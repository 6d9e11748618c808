//! The page is parsed as a browser would, and asked whether it is whole, says everything and loads nothing.
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test

use html5ever::tendril::TendrilSink;
use markup5ever_rcdom::{Handle, NodeData, RcDom};

use super::{fixture, of_run};
use crate::report::{Against, Bound, Chapter, LeftOut, Role, Run};
use crate::spread::Spread;

struct Page {
    text: String,
    dom: RcDom,
}

impl Page {
    /// Panics when the parser has anything to complain about.
    fn of(run: &Run) -> Page {
        let text = of_run(run);
        let dom = html5ever::parse_document(RcDom::default(), html5ever::ParseOpts::default())
            .one(text.as_str());
        assert!(dom.errors.borrow().is_empty(), "{:?}", dom.errors.borrow());
        Page { text, dom }
    }

    /// Every element, in the order of the page.
    fn elements(&self) -> Vec<Handle> {
        let mut found = Vec::new();
        descend(&self.dom.document, &mut found);
        found
    }

    fn named(&self, name: &str) -> Vec<Handle> {
        self.elements().into_iter().filter(|node| tag(node) == name).collect()
    }

    fn words(&self) -> String {
        words(&self.dom.document)
    }
}

fn descend(node: &Handle, found: &mut Vec<Handle>) {
    if matches!(node.data, NodeData::Element { .. }) {
        found.push(node.clone());
    }
    for child in node.children.borrow().iter() {
        descend(child, found);
    }
}

fn tag(node: &Handle) -> String {
    match &node.data {
        NodeData::Element { name, .. } => name.local.to_string(),
        _ => String::new(),
    }
}

fn attributes(node: &Handle) -> Vec<(String, String)> {
    match &node.data {
        NodeData::Element { attrs, .. } => {
            let attrs = attrs.borrow();
            attrs.iter().map(|attr| (attr.name.local.to_string(), attr.value.to_string())).collect()
        }
        _ => Vec::new(),
    }
}

fn attribute(node: &Handle, wanted: &str) -> Option<String> {
    attributes(node).into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}

fn words(node: &Handle) -> String {
    let own = match &node.data {
        NodeData::Text { contents } => contents.borrow().to_string(),
        _ => String::new(),
    };
    node.children.borrow().iter().fold(own, |text, child| text + &words(child))
}

#[test]
fn everything_of_the_run_is_on_the_page() {
    let run = fixture::run();
    let words = Page::of(&run).words();
    let servers = run.servers.iter().flat_map(|server| [&server.name, &server.version]);
    let cases = run.cases.iter().flat_map(|case| [&case.name, &case.about]);
    let odds = [
        "traefik",
        "not installed",
        "figures are made up",
        "figure unheard of",
        "answers 200 with the whole file",
    ];
    let odds = odds.map(String::from);
    for expected in servers.chain(cases).chain(&odds).chain(&run.not_publishable_because) {
        assert!(
            expected.starts_with("floor ") || words.contains(expected.as_str()),
            "{expected} is missing"
        );
    }
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    let page = Page::of(&fixture::run());
    for node in page.elements() {
        assert!(
            !["script", "link", "img", "iframe", "object", "image", "use"]
                .contains(&tag(&node).as_str()),
            "{}",
            tag(&node)
        );
        for (name, value) in attributes(&node) {
            assert!(
                !["src", "srcset", "style"].contains(&name.as_str()) && !name.starts_with("on"),
                "{name}"
            );
            assert!(name != "href" || value.starts_with('#'), "{value}");
            assert!(!value.contains("://"), "{name}={value}");
        }
    }
    let style: String = page.named("style").iter().map(words).collect();
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn links_lead_somewhere_and_ids_are_unique() {
    let page = Page::of(&fixture::run());
    let mut ids: Vec<String> =
        page.elements().iter().filter_map(|node| attribute(node, "id")).collect();
    for link in page.named("a") {
        let target = attribute(&link, "href").unwrap();
        assert!(ids.iter().any(|id| target == format!("#{id}")), "{target}");
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn every_plot_says_what_it_is_and_has_a_table() {
    let page = Page::of(&fixture::run());
    let plots: Vec<Handle> =
        page.named("svg").into_iter().filter(|svg| attribute(svg, "role").is_some()).collect();
    assert!(plots.len() > 30, "{}", plots.len());
    for plot in &plots {
        let children: Vec<String> = plot.children.borrow().iter().map(tag).collect();
        assert_eq!(children[..2], ["title", "desc"]);
    }
    for figure in page.named("figure") {
        let mut inside = Vec::new();
        descend(&figure, &mut inside);
        let has = |name: &str| inside.iter().any(|node| tag(node) == name);
        assert!(has("svg") && has("details") && has("table"), "{}", words(&figure));
    }
}

#[test]
fn no_coordinate_is_not_a_number_or_off_the_paper() {
    let page = Page::of(&fixture::run());
    for svg in page.named("svg") {
        let view: Vec<f64> = attribute(&svg, "viewBox")
            .unwrap()
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        let mut inside = Vec::new();
        descend(&svg, &mut inside);
        for node in inside {
            for (name, value) in attributes(&node) {
                let limit = match name.as_str() {
                    "x" | "x1" | "x2" | "cx" | "width" => view[2],
                    "y" | "y1" | "y2" | "cy" | "height" => view[3],
                    _ => continue,
                };
                let place: f64 = value.parse().unwrap();
                assert!((0.0..=limit).contains(&place), "{} {name}={value}", tag(&node));
            }
        }
    }
    assert!(!page.text.contains("NaN"));
}

#[test]
fn less_effort_is_left_of_the_line() {
    let page = Page::of(&fixture::run());
    let charts = page.named("svg").into_iter().filter(|svg| {
        let mut inside = Vec::new();
        descend(svg, &mut inside);
        inside.iter().any(|node| attribute(node, "data-ratio").is_some())
    });
    let (mut left, mut right) = (0, 0);
    for chart in charts {
        let mut inside = Vec::new();
        descend(&chart, &mut inside);
        let one =
            inside.iter().find(|node| attribute(node, "class").as_deref() == Some("one")).unwrap();
        let one: f64 = attribute(one, "x1").unwrap().parse().unwrap();
        for mark in inside.iter().filter(|node| attribute(node, "data-ratio").is_some()) {
            let ratio: f64 = attribute(mark, "data-ratio").unwrap().parse().unwrap();
            let place = attribute(mark, "transform").unwrap();
            let x = place.strip_prefix("translate(").unwrap().split(',').next().unwrap();
            let x: f64 = x.parse().unwrap();
            // Places are rounded to a tenth.
            assert!(
                if ratio < 1.0 { x <= one + 0.1 } else { x >= one - 0.1 },
                "{ratio} at {x}, 1.0 at {one}"
            );
            *(if ratio < 1.0 { &mut left } else { &mut right }) += 1;
        }
    }
    assert!(left > 100 && right > 10, "{left} left, {right} right");
}

#[test]
fn more_requests_per_second_count_as_less_effort() {
    // mix-cold-names has requests per second as its first figure, and the subject the most of them.
    let mut run = fixture::run();
    run.cases.retain(|case| case.name == "mix-cold-names");
    let page = Page::of(&run);
    let ratio = |beside: &str| {
        let mut marks =
            page.elements().into_iter().filter(|node| attribute(node, "data-ratio").is_some());
        let mark = marks.rfind(|mark| words(mark).contains(&format!("beside {beside}:")));
        attribute(&mark.unwrap(), "data-ratio").unwrap().parse::<f64>().unwrap()
    };
    assert!(ratio("nginx") < 0.65, "{}", ratio("nginx"));
    assert!(ratio("floor") > 1.0, "{}", ratio("floor"));
}

#[test]
fn verdicts_are_counted_and_losses_named() {
    let run = fixture::run();
    let missed = run.verdicts().filter(|(.., verdict)| !verdict.met).count();
    let all = run.verdicts().count();
    assert!(missed > 0 && missed < all);
    let words = Page::of(&run).words();
    assert!(
        words.contains(&format!("Of {all} demands, {} met and {missed} missed: ", all - missed)),
        "{words}"
    );
    assert_eq!(words.matches("✗ missed").count(), missed);
    assert_eq!(words.matches("✓ met").count(), all - missed);
    assert!(words.contains("not-modified (CPU per request)"));
}

#[test]
fn the_floor_is_never_the_best() {
    let page = Page::of(&fixture::run());
    let best_in = |server: &str| {
        let rows = page.named("tr").into_iter();
        let rows = rows
            .filter(|row| row.children.borrow().first().is_some_and(|name| words(name) == server));
        let best = |cell: &Handle| attribute(cell, "class").as_deref() == Some("number best");
        rows.map(|row| row.children.borrow().iter().filter(|cell| best(cell)).count())
            .sum::<usize>()
    };
    assert_eq!(best_in("floor"), 0);
    assert!(best_in("sendrail") > 20);
}

#[test]
fn every_kind_of_demand_can_be_shown() {
    let mut run = fixture::run();
    let bounds = [
        Bound::at_most(Against::Server("nginx"), 0.9),
        Bound::at_most(Against::Best, 0.9),
        Bound::at_most(Against::Value, 9.0),
        Bound::at_most(Against::Itself, 0.1),
        Bound::at_least(Against::Value, 7.0),
    ];
    run.cases.truncate(1);
    run.cases[0].figures =
        vec![fixture::figure(fixture::CPU, &bounds, |server| Some(8.0 + server as f64))];
    let words = Page::of(&run).words();
    for expected in [
        "≤ 0.90 ×",
        "the best: nginx",
        "≤ 9.00 µs",
        "a fixed limit",
        "1 ± 0.10 ×",
        "itself (nginx)",
        "≥ 7.00 µs",
    ] {
        assert!(words.contains(expected), "{expected} is missing");
    }
}

#[test]
fn names_are_text_whatever_is_in_them() {
    let hostile = "<script>alert(1)</script>\"'&";
    let mut run = fixture::run();
    run.servers[1].name = hostile.into();
    run.servers[1].version = hostile.into();
    run.cases[0].name = hostile.into();
    run.cases[0].warnings = vec![hostile.into()];
    run.cases[0].left_out = vec![LeftOut { server: hostile.into(), why: hostile.into() }];
    let page = Page::of(&run);
    assert!(page.named("script").is_empty());
    assert!(page.words().contains(hostile));
}

#[test]
fn a_run_of_nothing_is_a_page() {
    let mut run = fixture::run();
    run.cases.clear();
    assert!(Page::of(&run).words().contains("Nothing: the cases of this run have no bounds."));
    run.servers.clear();
    run.left_out.clear();
    run.command.clear();
    run.started.clear();
    run.publishable = true;
    assert!(Page::of(&run).words().contains("Nobody was measured."));
}

#[test]
fn one_server_alone_is_a_page() {
    let mut run = fixture::run();
    run.servers.truncate(1);
    for figure in run.cases.iter_mut().flat_map(|case| &mut case.figures) {
        figure.rounds.truncate(1);
        figure.spreads.truncate(1);
        figure.ratios.truncate(1);
        figure.best = None;
        figure.verdicts.clear();
    }
    assert!(
        Page::of(&run).words().contains("Nothing in this run can be set beside anything else.")
    );
}

#[test]
fn twelve_servers_have_twelve_looks() {
    let mut run = fixture::run();
    run.servers = vec![fixture::server("sendrail", Role::Subject)];
    run.servers
        .extend((1..12).map(|number| fixture::server(&format!("peer-{number}"), Role::Peer)));
    let page = Page::of(&run);
    let mut looks: Vec<String> = (1..12)
        .map(|server| {
            let start = page.text.find(&format!(".s{server}{{--c:")).unwrap();
            page.text[start..].split(':').nth(1).unwrap().split('}').next().unwrap().to_owned()
        })
        .collect();
    looks.sort();
    looks.dedup();
    assert_eq!(looks.len(), 11);
    for server in &run.servers {
        assert!(page.words().contains(&server.name));
    }
}

#[test]
fn very_long_names_stay_on_the_paper() {
    let mut run = fixture::run();
    for (number, server) in run.servers.iter_mut().enumerate() {
        server.name = format!("{}-{number}", "long name ".repeat(30));
    }
    for case in &mut run.cases {
        case.name = format!("{}-{}", "case".repeat(60), case.name);
    }
    let page = Page::of(&run);
    for text in page.named("text") {
        let shown: String = text
            .children
            .borrow()
            .iter()
            .filter(|child| tag(child).is_empty())
            .map(words)
            .collect();
        assert!(shown.chars().count() <= 70, "{shown}");
    }
}

#[test]
fn absurd_values_do_not_break_the_page() {
    let absurd = [0.0, -1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-310, f64::MAX];
    for all in absurd {
        for others in absurd {
            let mut run = fixture::run();
            run.cases.drain(2..21); // enough for a line, and all other chapters
            for figure in run.cases.iter_mut().flat_map(|case| &mut case.figures) {
                for (server, spread) in figure.spreads.iter_mut().enumerate() {
                    let value = if server % 2 == 0 { all } else { others };
                    *spread = Some(Spread { median: value, min: others, max: all });
                }
                for ratio in figure.ratios.iter_mut().flatten() {
                    *ratio = Spread { median: all / others, min: all, max: others };
                }
            }
            let page = Page::of(&run);
            let text = page.text.replace("data-ratio=\"", "data-ratio=");
            for coordinate in ["=\"NaN", "=\"inf", ",NaN", ",inf"] {
                assert!(!text.contains(coordinate), "{coordinate} with {all} and {others}");
            }
        }
    }
}

#[test]
fn nobody_may_have_a_figure() {
    let mut run = fixture::run();
    for case in &mut run.cases {
        if case.chapter == Chapter::Crowd {
            case.figures.clear();
        }
        for figure in &mut case.figures {
            figure.spreads.fill(None);
            figure.ratios.fill(None);
            figure.best = None;
        }
    }
    assert!(Page::of(&run).words().contains("Nobody has a figure here."));
}

/// The cards of a case: every figure element with its name as the heading.
fn cards(page: &Page, case: &str) -> Vec<Handle> {
    let named = |card: &Handle| {
        let mut inside = Vec::new();
        descend(card, &mut inside);
        inside.iter().any(|node| tag(node) == "h3" && words(node) == case)
    };
    page.named("figure").into_iter().filter(named).collect()
}

#[test]
fn a_server_with_too_few_answers_for_a_percentile_keeps_its_row() {
    let mut run = fixture::run();
    run.cases.retain(|case| case.name == "latency-1k-25pct");
    let p999 = run.cases[0].figures.iter_mut().find(|figure| figure.measure.key == "latency_p999");
    p999.unwrap().spreads[1] = None;
    let page = Page::of(&run);
    let card = cards(&page, "latency-1k-25pct").pop().unwrap();
    assert!(words(&card).contains("nginx, p99:") && !words(&card).contains("nginx, p99.9:"));
}

#[test]
fn percentiles_are_drawn_only_where_the_rate_is_fixed() {
    let mut run = fixture::run();
    let latencies = fixture::run().cases.swap_remove(25);
    assert_eq!(latencies.name, "latency-1k-25pct");
    run.cases[0].figures.extend(latencies.figures);
    let page = Page::of(&run);
    assert_eq!(cards(&page, "1k-1").len(), 1);
    assert!(page.words().contains("latency, p99.9"));
}

#[test]
fn a_cold_case_shows_what_was_won_and_what_it_cost() {
    let page = Page::of(&fixture::run());
    let shown: Vec<String> = cards(&page, "cold-64").iter().map(words).collect();
    assert_eq!(shown.len(), 2);
    assert!(shown[0].contains("hot p50, µs") && shown[1].contains("hot resident, %"), "{shown:?}");
}

#[test]
fn a_chapter_is_one_stretch_of_the_page_whatever_the_order_of_the_cases() {
    let mut run = fixture::run();
    let first = run.cases.remove(0);
    run.cases.push(first);
    let page = Page::of(&run);
    let headings = page.named("text").into_iter();
    let headings = headings.filter(|text| attribute(text, "class").as_deref() == Some("chapter"));
    // Six chapters in a wide and a narrow plot.
    assert_eq!(headings.count(), 12);
}
