//! The chart of the ratios to memcached, for people who look before they read.

use std::error::Error;
use std::io;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::cases::{Case, Part};
use crate::figures::{self, Figures, Rounds};
use crate::servers::Name;
use crate::table::median;

/// Width of the chart, and height of a case in it, in pixels.
const WIDTH: u32 = 1000;
const CASE_HEIGHT: u32 = 46;
/// Height of title and axis.
const FRAME_HEIGHT: u32 = 80;
/// Height of the legend, and side of the squares in it.
const LEGEND_HEIGHT: u32 = 30;
const SQUARE: i32 = 12;
/// Width of the names of the cases.
const NAMES_WIDTH: u32 = 150;
/// Half the height of a bar, where a case has 1.
const BAR: f64 = 0.17;
/// Beyond which ratio bars are cut off.
const RATIO_MAX: f64 = 3.0;
const LARDER: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const FLOOR: RGBColor = RGBColor(0xb5, 0xbd, 0xc7);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);

type Results = [(Case, Vec<Rounds>)];

/// A figure to show.
struct Panel {
    title: &'static str,
    of: fn(&Figures) -> f64,
}

const PANELS: [Panel; 2] = [
    Panel { title: "Server CPU per request", of: Figures::cpu_us },
    Panel { title: "p99 latency", of: |run| run.p99_us },
];

/// Draws the ratios of all cases that memcached has a part in: of loads of different kinds if there are any,
/// else of those that grow.
///
/// # Errors
/// If there is none, or the file cannot be written.
pub fn draw(path: &Path, results: &Results) -> io::Result<()> {
    let has_ratios = |(_, servers): &&(Case, Vec<Rounds>)| figures::find(servers, Name::Memcached).is_some();
    let mut rows: Vec<&(Case, Vec<Rounds>)> = results.iter().filter(has_ratios).collect();
    if rows.iter().any(|(case, _)| case.part == Part::Cases) {
        rows.retain(|(case, _)| case.part == Part::Cases);
    }
    if rows.is_empty() {
        return Err(io::Error::other("--svg: without memcached there are no ratios to draw"));
    }
    let height = FRAME_HEIGHT + CASE_HEIGHT * rows.len() as u32;
    let whole = height + LEGEND_HEIGHT;
    let root = SVGBackend::new(path, (WIDTH, whole)).into_drawing_area();
    let draw = || -> Result<(), Box<dyn Error>> {
        root.fill(&WHITE)?;
        let half = (WIDTH - NAMES_WIDTH) / 2;
        let (panels, legend) = root.split_vertically(height);
        let (first, second) = panels.split_horizontally(NAMES_WIDTH + half);
        draw_panel(&first, &PANELS[0], &rows, NAMES_WIDTH)?;
        draw_panel(&second, &PANELS[1], &rows, 10)?;
        draw_legend(&legend)?;
        root.present()?;
        Ok(())
    };
    draw().map_err(|error| io::Error::other(format!("--svg {}: {error}", path.display())))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn draw_legend(area: &Area<'_>) -> Result<(), Box<dyn Error>> {
    let mut left = NAMES_WIDTH as i32;
    for (color, text, width) in [
        (LARDER, "larder", 90),
        (FLOOR, "a server without a store (the floor)", 270),
        (INK, "line: lowest to highest round", 0),
    ] {
        let top = if color == INK { SQUARE / 2 - 1 } else { 0 };
        let mark = [(left, 4 + top), (left + SQUARE, 4 + SQUARE - top)];
        area.draw(&Rectangle::new(mark, color.filled()))?;
        let style = ("sans-serif", 14).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(text, (left + SQUARE + 6, 4 + SQUARE / 2), style))?;
        left += width;
    }
    Ok(())
}

/// One figure: to each case a bar of larder's ratio to memcached and one of the floor's, each with a line
/// from its lowest round to its highest.
fn draw_panel<'a>(
    area: &Area<'a>,
    panel: &Panel,
    rows: &[&(Case, Vec<Rounds>)],
    names_width: u32,
) -> Result<(), Box<dyn Error>> {
    let ratios = |servers: &[Rounds], name: Name| -> Vec<f64> {
        let pair = figures::find(servers, name).zip(figures::find(servers, Name::Memcached));
        let ratios = pair.map(|(own, memcached)| own.ratios(memcached, panel.of)).unwrap_or_default();
        ratios.into_iter().filter(|ratio| ratio.is_finite()).collect()
    };
    let all = rows.iter().flat_map(|(_, servers)| ratios(servers, Name::Larder));
    let right = all.fold(1.2, f64::max).min(RATIO_MAX) * 1.12;
    let count = rows.len();
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{} (memcached = 1)", panel.title), ("sans-serif", 17).into_font().color(&INK))
        .margin(8)
        .x_label_area_size(28)
        .y_label_area_size(names_width)
        .build_cartesian_2d(0.0..right, 0.0..count as f64)?;
    let name = |place: &f64| {
        let row = rows.get(count - 1 - (*place as usize).min(count - 1));
        row.map_or_else(String::new, |(case, _)| case.name.to_owned())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .y_labels(0)
        .x_labels(6)
        .x_label_formatter(&|ratio| format!("{ratio:.1}"))
        .label_style(("sans-serif", 13).into_font().color(&INK))
        .draw()?;
    let text =
        |size: i32, h: HPos| ("sans-serif", size).into_font().color(&INK).pos(Pos::new(h, VPos::Center));
    chart.draw_series([PathElement::new(vec![(1.0, 0.0), (1.0, count as f64)], INK.stroke_width(1))])?;
    for (row, (_, servers)) in rows.iter().enumerate() {
        let middle = (count - 1 - row) as f64 + 0.5;
        if names_width > 100 {
            let (x, y) = chart.backend_coord(&(0.0, middle));
            let (left, top) = area.get_base_pixel();
            area.draw(&Text::new(name(&middle), (x - left - 8, y - top), text(14, HPos::Right)))?;
        }
        for (name, color, y) in [(Name::Larder, LARDER, middle + BAR), (Name::Floor, FLOOR, middle - BAR)] {
            let ratios = ratios(servers, name);
            if ratios.is_empty() {
                continue;
            }
            let (low, high) = ratios.iter().fold((right, 0.0), |(low, high): (f64, f64), &ratio| {
                (low.min(ratio), high.max(ratio).min(right))
            });
            let (ratio, thin) = (median(&ratios), BAR / 4.0);
            let bar = [(0.0, y - BAR * 0.9), (ratio.min(right), y + BAR * 0.9)];
            chart.draw_series([Rectangle::new(bar, color.filled())])?;
            chart.draw_series([Rectangle::new(
                [(low, y - thin / 2.0), (high, y + thin / 2.0)],
                INK.filled(),
            )])?;
            let label = EmptyElement::at((high.min(right * 0.9), y))
                + Text::new(format!(" {ratio:.2}"), (4, 0), text(12, HPos::Left));
            chart.draw_series([label])?;
        }
    }
    Ok(())
}
