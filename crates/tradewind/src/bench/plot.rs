//! Bars side by side, as SVG.
//!
//! Each bar is labelled with its figure, so there is no axis to read. The background is drawn too: a page
//! that shows the picture may be dark.

use anyhow::anyhow;
use plotters::{
    prelude::{
        Color as _, DrawingArea, IntoDrawingArea as _, PathElement, RGBColor, Rectangle,
        SVGBackend, Text,
    },
    style::{
        IntoFont as _, TextStyle,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::figure::{shown, whole};

const WIDTH: i32 = 720;
const HEIGHT: i32 = 320;
/// Above the bars and below: room for the title and the names.
const TOP: i32 = 84;
const BOTTOM: i32 = 36;
/// Of a group's width, what its bars take.
const BARS_SHARE: f64 = 0.8;

const BACKGROUND: RGBColor = RGBColor(250, 250, 248);
const INK: RGBColor = RGBColor(40, 40, 48);
const COLOURS: [RGBColor; 3] = [
    RGBColor(120, 144, 170),
    RGBColor(190, 194, 200),
    RGBColor(222, 122, 52),
];

/// Groups of bars, one bar a series.
#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Whether a bar twice as high is a fixed factor, where figures differ too much to be drawn otherwise.
    pub(crate) logarithmic: bool,
    pub(crate) series: Vec<&'static str>,
    pub(crate) groups: Vec<(String, Vec<Bar>)>,
}

/// A median, and the lowest and the highest of what it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub(crate) lowest: f64,
    pub(crate) height: f64,
    pub(crate) highest: f64,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

impl Plot {
    /// The picture.
    pub(crate) fn draw(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        {
            let size = (u32::try_from(WIDTH)?, u32::try_from(HEIGHT)?);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            self.draw_on(&area)
                .map_err(|error| anyhow!("a plot could not be drawn: {error}"))?;
        }
        Ok(svg + "\n")
    }

    fn draw_on(&self, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&BACKGROUND)?;
        write(area, self.title, (WIDTH / 2, 18), 18, HPos::Center)?;
        let mut x = WIDTH / 2 - 150;
        for (name, colour) in self.series.iter().zip(COLOURS) {
            let mark = Rectangle::new([(x, 44), (x + 12, 56)], colour.filled());
            area.draw(&mark)?;
            write(area, name, (x + 18, 50), 14, HPos::Left)?;
            x += 110;
        }
        let bars = self.groups.iter().flat_map(|(_, bars)| bars);
        let highest = bars.clone().map(|bar| bar.highest).fold(0.0, f64::max);
        let lowest = bars.map(|bar| bar.lowest).fold(f64::INFINITY, f64::min);
        let scale = Scale {
            // The lowest bar is still one.
            lowest: if self.logarithmic { lowest / 2.0 } else { 0.0 },
            highest,
            logarithmic: self.logarithmic,
        };
        let width = f64::from(WIDTH) / super::figure::float(u64::try_from(self.groups.len())?);
        let mut left = 0.0;
        for (name, bars) in &self.groups {
            let middle = pixel(left + width / 2.0);
            write(area, name, (middle, HEIGHT - 16), 14, HPos::Center)?;
            let bar_width =
                width * BARS_SHARE / super::figure::float(u64::try_from(bars.len().max(1))?);
            let mut x = left + width * (1.0 - BARS_SHARE) / 2.0;
            for (bar, colour) in bars.iter().zip(COLOURS) {
                draw_bar(area, bar, &scale, (x, bar_width), colour)?;
                x += bar_width;
            }
            left += width;
        }
        area.present()?;
        Ok(())
    }
}

/// What is drawn at which height.
struct Scale {
    lowest: f64,
    highest: f64,
    logarithmic: bool,
}

impl Scale {
    fn y(&self, figure: f64) -> i32 {
        let share = if self.logarithmic {
            (figure / self.lowest).ln() / (self.highest / self.lowest).ln()
        } else {
            figure / self.highest
        };
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        let floor = HEIGHT - BOTTOM;
        floor - pixel(share * f64::from(floor - TOP))
    }
}

fn draw_bar(
    area: &Area<'_>,
    bar: &Bar,
    scale: &Scale,
    (x, width): (f64, f64),
    colour: RGBColor,
) -> Result<(), Box<dyn std::error::Error>> {
    let (left, right) = (pixel(x + width * 0.08), pixel(x + width * 0.92));
    let middle = i32::midpoint(left, right);
    let corners = [(left, scale.y(bar.height)), (right, HEIGHT - BOTTOM)];
    area.draw(&Rectangle::new(corners, colour.filled()))?;
    let range = vec![
        (middle, scale.y(bar.lowest)),
        (middle, scale.y(bar.highest)),
    ];
    area.draw(&PathElement::new(range, INK.stroke_width(1)))?;
    let above = (middle, scale.y(bar.highest.max(bar.height)) - 9);
    write(area, &shown(bar.height), above, 12, HPos::Center)
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    side: HPos,
) -> Result<(), Box<dyn std::error::Error>> {
    let style = TextStyle::from(("sans-serif", size).into_font())
        .color(&INK)
        .pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

fn pixel(at: f64) -> i32 {
    i32::try_from(whole(at)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Bar, Plot};

    #[test]
    fn a_plot_shows_names_and_figures() {
        let bar = |height: f64| Bar {
            lowest: height * 0.9,
            height,
            highest: height * 1.1,
        };
        for logarithmic in [false, true] {
            let plot = Plot {
                name: "latency",
                title: "Latency in ms",
                logarithmic,
                series: vec!["floor", "limit"],
                groups: vec![
                    ("p50".to_owned(), vec![bar(0.5), bar(0.25)]),
                    ("p99".to_owned(), vec![bar(1_234.0), bar(2.0)]),
                ],
            };
            let svg = plot.draw().unwrap();
            for words in ["<svg", "Latency in ms", "floor", "p99", "1,234", "0.25"] {
                assert!(svg.contains(words), "{words}: {svg}");
            }
        }
    }
}
