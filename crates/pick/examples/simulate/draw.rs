//! Bars, as SVG.

use std::fmt::Write;

/// A title, what is measured, and a bar for each strategy.
pub(crate) type Chart = (&'static str, &'static str, Vec<(&'static str, f64)>);

const COLUMNS: usize = 2;
const WIDTH: f64 = 460.0;
const ROW: f64 = 18.0;
const NAMES: f64 = 190.0;
const HEAD: f64 = 44.0;

/// All charts, two in a row, each with a scale of its own.
pub(crate) fn draw(charts: &[Chart]) -> String {
    let bars = charts.first().map_or(0, |(_, _, bars)| bars.len());
    let height = HEAD + ROW * bars as f64 + 16.0;
    let rows = charts.len().div_ceil(COLUMNS);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>text {{ fill: #24292f }} .what {{ fill: #57606a }} rect {{ fill: #3b82c4 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .what {{ fill: #8b949e }} }}</style>\n",
        WIDTH * COLUMNS as f64,
        height * rows as f64
    );
    for (place, (title, what, bars)) in charts.iter().enumerate() {
        let (left, top) = ((place % COLUMNS) as f64 * WIDTH, (place / COLUMNS) as f64 * height);
        // What is far beyond the others is cut off, so that these can be told apart.
        let mut values: Vec<f64> = bars.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        let most = values.last().copied().unwrap_or_default().min(3.0 * median).max(f64::MIN_POSITIVE);
        line(&mut svg, left + 8.0, top + 18.0, "font-weight=\"bold\"", title);
        line(&mut svg, left + 8.0, top + 34.0, "class=\"what\"", what);
        for (row, (name, value)) in bars.iter().enumerate() {
            let y = top + HEAD + ROW * row as f64;
            line(&mut svg, left + 8.0, y + 12.0, "", name);
            let (length, cut) = ((value / most).min(1.0) * (WIDTH - NAMES - 90.0), *value > most);
            let mark = if cut { " …" } else { "" };
            _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{length:.1}\" height=\"12\"/>",
                left + NAMES,
                y + 2.0
            );
            line(&mut svg, left + NAMES + length + 6.0, y + 12.0, "", &format!("{value:.2}{mark}"));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn line(svg: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>");
}
