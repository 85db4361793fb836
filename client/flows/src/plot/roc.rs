//! The panel of ROC curves.

use std::cmp::Reverse;
use std::collections::HashMap;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use shardmill_common::model::{Curve, Evaluation};

use super::style::{Area, CURVES, Drawn, INK, Label, SOFT, UnitSquare, failed, heading, plain_class};

/// Curves of more classes cannot be told apart.
const SHOWN: usize = 8;

pub fn draw(area: &Area<'_>, evaluation: &Evaluation) -> Drawn {
    heading(area, "ROC curve")?;
    let square = UnitSquare::draw(area, "false positive rate", "true positive rate")?;
    let shown = shown(evaluation);
    // The first class lies on top.
    for (curve, color) in shown.iter().zip(CURVES).rev() {
        let points = curve.false_positive_rate.iter().zip(&curve.true_positive_rate);
        let points: Vec<(i32, i32)> = points.map(|(x, y)| square.at(*x, *y)).collect();
        area.draw(&PathElement::new(points, color.stroke_width(2))).map_err(failed)?;
    }
    let mut lines: Vec<(Option<RGBColor>, String)> = shown
        .iter()
        .zip(CURVES)
        .map(|(curve, color)| {
            let class = plain_class(&curve.class, 18);
            (Some(color), auc(evaluation, &curve.class).map_or(class.clone(), |auc| format!("{class}: AUC {auc:.4}")))
        })
        .collect();
    match evaluation.roc.len() - shown.len() {
        0 => {}
        1 => lines.push((None, "and 1 more class".to_owned())),
        more => lines.push((None, format!("and {more} more classes"))),
    }
    if let Some(mean) = evaluation.metrics.get("roc_auc").filter(|_| evaluation.roc.len() > 1) {
        lines.push((None, format!("mean AUC {mean:.4}")));
    }
    if lines.is_empty() {
        let at = square.at(0.5, 0.6);
        return Label::new(13, SOFT).at(HPos::Center, VPos::Center).draw(
            area,
            "not defined: the labels are all of one class",
            at,
        );
    }
    legend(area, &square, &lines)
}

/// The curves that are drawn: of many classes those with most rows, in the order of the classes.
fn shown(evaluation: &Evaluation) -> Vec<&Curve> {
    let rows: HashMap<String, u64> = evaluation
        .classes
        .iter()
        .zip(&evaluation.confusion_matrix)
        .map(|(class, row)| (class.to_string(), row.iter().sum()))
        .collect();
    let mut order: Vec<usize> = (0..evaluation.roc.len()).collect();
    order.sort_by_key(|n| Reverse(evaluation.roc.get(*n).and_then(|curve| rows.get(&curve.class))));
    order.truncate(SHOWN);
    order.sort_unstable();
    order.into_iter().filter_map(|n| evaluation.roc.get(n)).collect()
}

fn auc(evaluation: &Evaluation, class: &str) -> Option<f64> {
    let name = if evaluation.roc.len() == 1 { "roc_auc".to_owned() } else { format!("roc_auc/{class}") };
    evaluation.metrics.get(&name).or_else(|| evaluation.metrics.get(&format!("roc_auc/{class}"))).copied()
}

/// At the lower right, where a curve that is better than chance leaves room.
fn legend(area: &Area<'_>, square: &UnitSquare, lines: &[(Option<RGBColor>, String)]) -> Drawn {
    const LINE: i32 = 18;
    let longest = lines.iter().map(|(_, text)| text.chars().count()).max().unwrap_or_default() as i32;
    let (right, bottom) = square.at(0.98, 0.03);
    let (width, height) = (longest * 7 + 46, lines.len() as i32 * LINE + 8);
    let (left, top) = ((right - width).max(square.at(0.0, 0.0).0 + 4), bottom - height);
    area.draw(&Rectangle::new([(left, top), (right, bottom)], WHITE.mix(0.85).filled())).map_err(failed)?;
    for (n, (color, text)) in (0..).zip(lines) {
        let y = top + 4 + n * LINE + LINE / 2;
        if let Some(color) = color {
            let key = PathElement::new(vec![(left + 6, y), (left + 28, y)], color.stroke_width(3));
            area.draw(&key).map_err(failed)?;
        }
        Label::new(12, INK).draw(area, text, (left + 36, y))?;
    }
    Ok(())
}
