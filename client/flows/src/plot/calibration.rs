//! The panel of the calibration: what was predicted against what was observed, and how many rows say so.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use shardmill_common::model::Evaluation;

use super::style::{Area, CURVES, Drawn, FAINT, INK, Label, SOFT, UnitSquare, failed, heading};

/// The height of the bars that count rows, at most.
const BARS: f64 = 0.18;

pub fn draw(area: &Area<'_>, evaluation: &Evaluation) -> Drawn {
    heading(area, "Calibration")?;
    let (across, along) = match evaluation.classes.len() {
        2 => ("predicted probability", "share of positives"),
        _ => ("probability of the predicted class", "share predicted rightly"),
    };
    let square = UnitSquare::draw(area, across, along)?;
    let most = evaluation.calibration.iter().map(|b| b.rows).max().unwrap_or(1).max(1) as f64;
    for bin in &evaluation.calibration {
        let ((left, bottom), (right, top)) =
            (square.at(bin.from, 0.0), square.at(bin.to, bin.rows as f64 / most * BARS));
        let bar = Rectangle::new([(left + 2, top), (right - 2, bottom)], FAINT.filled());
        area.draw(&bar).map_err(failed)?;
    }
    let color = CURVES[0];
    let points: Vec<(i32, i32)> = evaluation.calibration.iter().map(|b| square.at(b.predicted, b.observed)).collect();
    area.draw(&PathElement::new(points.clone(), color.stroke_width(2))).map_err(failed)?;
    for point in points {
        area.draw(&Circle::new(point, 4, color.filled())).map_err(failed)?;
    }
    let bars = Label::new(11, SOFT).at(HPos::Right, VPos::Bottom);
    bars.draw(area, "bars: rows", square.at(0.985, BARS + 0.02))?;
    if let Some(error) = evaluation.metrics.get("expected_calibration_error") {
        let label = Label::new(12, INK).at(HPos::Left, VPos::Center);
        label.draw(area, &format!("expected calibration error {error:.4}"), square.at(0.03, 0.95))?;
    }
    Ok(())
}
