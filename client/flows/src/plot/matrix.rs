//! The panel of the confusion matrix: counts, shaded by their share of the actual class.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use shardmill_common::model::Evaluation;
use shardmill_common::units::show_count;

use super::style::{
    Area, BLUE, Drawn, FAINT, INK, LEFT, Label, PANEL, RIGHT, SOFT, TOP, failed, heading, names, plain_class,
};

/// Letters of a class' name, and the width of one.
const LETTERS: usize = 12;
const LETTER: i32 = 7;

pub fn draw(area: &Area<'_>, evaluation: &Evaluation) -> Drawn {
    heading(area, "Confusion matrix")?;
    let classes: Vec<String> = evaluation.classes.iter().map(|c| plain_class(&c.to_string(), LETTERS)).collect();
    let count = classes.len().max(1) as i32;
    let longest = classes.iter().map(|c| c.chars().count()).max().unwrap_or_default() as i32 * LETTER;
    let left = LEFT - 24 + longest.max(24);
    let side = PANEL.0 as i32 - left - RIGHT;
    let edge = |n: i32| side * n / count;
    let cell = side / count;
    let size = letters(evaluation, cell);
    for (row, numbers) in (0..).zip(&evaluation.confusion_matrix) {
        let total: u64 = numbers.iter().sum();
        for (column, number) in (0..).zip(numbers) {
            let share = (total > 0).then(|| *number as f64 / total as f64);
            let corners = [(left + edge(column), TOP + edge(row)), (left + edge(column + 1), TOP + edge(row + 1))];
            area.draw(&Rectangle::new(corners, shade(share.unwrap_or(0.0)).filled())).map_err(failed)?;
            if cell >= 8 {
                area.draw(&Rectangle::new(corners, WHITE.stroke_width(1))).map_err(failed)?;
            }
            let middle = ((corners[0].0 + corners[1].0) / 2, (corners[0].1 + corners[1].1) / 2);
            write(area, *number, share, middle, cell, size)?;
        }
    }
    let frame = [(left, TOP), (left + side, TOP + side)];
    area.draw(&Rectangle::new(frame, FAINT.stroke_width(1))).map_err(failed)?;
    // Names that do not fit below their columns are turned; of very many classes every so many is named.
    let turned = longest + 6 > cell;
    let every = ((14 + cell - 1) / cell.max(1)).max(1) as usize;
    let name = || Label::new(12, SOFT);
    for (n, class) in (0..).zip(&classes).step_by(every) {
        let middle = (edge(n) + edge(n + 1)) / 2;
        name().at(HPos::Right, VPos::Center).draw(area, class, (left - 7, TOP + middle))?;
        let below = (left + middle, TOP + side + 7);
        if turned {
            name().at(HPos::Right, VPos::Center).turned().draw(area, class, below)?;
        } else {
            name().at(HPos::Center, VPos::Top).draw(area, class, below)?;
        }
    }
    let bottom = TOP + side + if turned { longest - 14 } else { 0 };
    names(area, "predicted class", "actual class", (left + side / 2, TOP + side / 2), bottom)
}

/// The size of the counts: one for all, by the longest; 0 where they do not fit.
fn letters(evaluation: &Evaluation, cell: i32) -> i32 {
    let most = evaluation.confusion_matrix.iter().flatten().max().copied().unwrap_or_default();
    let fitting = cell * 10 / (7 * show_count(most).len().max(3) as i32);
    let size = fitting.min(cell / 2).min(20);
    if size < 6 { 0 } else { size }
}

/// A cell's count, and where there is room its share of the row; a row of nothing has no shares.
fn write(area: &Area<'_>, number: u64, share: Option<f64>, middle: (i32, i32), cell: i32, size: i32) -> Drawn {
    if size == 0 {
        return Ok(());
    }
    let dark = share.is_some_and(|share| share > 0.55);
    let color = if dark { WHITE } else { INK };
    let with_share = cell >= 60;
    let count = Label::new(size, color).bold().at(HPos::Center, VPos::Center);
    count.draw(area, &show_count(number), (middle.0, middle.1 - if with_share { size / 2 } else { 0 }))?;
    if with_share {
        let label = Label::new(12, if dark { FAINT } else { SOFT }).at(HPos::Center, VPos::Center);
        let text = share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0));
        label.draw(area, &text, (middle.0, middle.1 + size / 2 + 6))?;
    }
    Ok(())
}

/// From almost white to blue.
fn shade(share: f64) -> RGBColor {
    let mix = |light: u8, dark: u8| (f64::from(light) + (f64::from(dark) - f64::from(light)) * share).round() as u8;
    RGBColor(mix(241, BLUE.0), mix(245, BLUE.1), mix(250, BLUE.2))
}
