//! A demand at a glance: what was found as a share of what was allowed.

use maud::{Markup, html};

use super::scale::Linear;
use super::{px, svg, whisker};
use crate::report::Limit;
use crate::spread::Spread;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 20.0;
/// The end of the gauge, in shares of what is allowed; what was found beyond is cut off there.
const END: f64 = 1.6;

/// All three in the same unit.
pub(in crate::report::html) fn plot(found: f64, around: Option<Spread>, limit: Limit) -> Markup {
    let scale = Linear::covering([END].into_iter(), 0.0, WIDTH);
    let at = |value: f64| scale.at(value / limit.value());
    let middle = HEIGHT / 2.0;
    let allowed = px(scale.at(1.0));
    let (from, to) = match limit {
        Limit::AtMost(_) => (0.0, allowed),
        Limit::AtLeast(_) => (allowed, WIDTH),
    };
    let drawing = html! {
        rect.allowed x=(from) y="2" width=(px(to - from)) height=(HEIGHT - 4.0) {}
        rect.found x="0" y="6" width=(px(at(found))) height=(HEIGHT - 12.0) {}
        @if let Some(around) = around { (whisker(at(around.min), at(around.max), middle)) }
        line.one x1=(allowed) x2=(allowed) y1="0" y2=(HEIGHT) {}
    };
    let about = "The bar is what was found, the upright line what is allowed.";
    html! { div.gauge { (svg(WIDTH, HEIGHT, "Found beside allowed", about, &drawing)) } }
}
