//! What all pictures share: sizes, colours, text.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::text::{class_name, clip, clip_middle, escape};

pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// With pictures in memory there are hardly any errors.
pub type Drawn = Result<(), DrawError>;

/// What the drawing library says. Its own error has a type for each backend and borrows from the picture.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DrawError(String);

/// Width and height of a panel, its heading included.
pub const PANEL: (u32, u32) = (440, 470);

/// Around the inside of a panel: room for the heading, and for the axes with their names.
pub const TOP: i32 = 46;
pub const LEFT: i32 = 62;
pub const BOTTOM: i32 = 58;
pub const RIGHT: i32 = 20;

pub const INK: RGBColor = RGBColor(38, 44, 52);
pub const SOFT: RGBColor = RGBColor(110, 118, 129);
pub const FAINT: RGBColor = RGBColor(228, 231, 235);
pub const BLUE: RGBColor = RGBColor(31, 95, 168);

/// Colours of curves, told apart by people with any kind of colour vision (Okabe and Ito 2008).
pub const CURVES: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 60),
    RGBColor(60, 60, 60),
];

pub fn failed(e: impl std::fmt::Display) -> DrawError {
    DrawError(e.to_string())
}

/// Text as it may stand in XML: control characters, which XML cannot carry, are written as escapes.
pub fn plain(text: &str, limit: usize) -> String {
    clip(&carried(text), limit)
}

/// A class' name as it may stand in XML; both ends of a long one are kept.
pub fn plain_class(name: &str, limit: usize) -> String {
    clip_middle(&carried(&class_name(name)), limit)
}

fn carried(text: &str) -> String {
    escape(text).chars().map(|c| if ('\u{fffe}'..='\u{ffff}').contains(&c) { '\u{fffd}' } else { c }).collect()
}

/// Text at a point of an area. The size is that of the letters in pixels.
pub struct Label {
    pub size: i32,
    pub color: RGBColor,
    pub bold: bool,
    pub across: HPos,
    pub along: VPos,
    pub turned: bool,
}

impl Label {
    pub const fn new(size: i32, color: RGBColor) -> Self {
        Self { size, color, bold: false, across: HPos::Left, along: VPos::Center, turned: false }
    }

    pub const fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    pub const fn at(self, across: HPos, along: VPos) -> Self {
        Self { across, along, ..self }
    }

    /// Read from below.
    pub const fn turned(self) -> Self {
        Self { turned: true, ..self }
    }

    pub fn draw(&self, area: &Area<'_>, text: &str, at: (i32, i32)) -> Drawn {
        let font = ("sans-serif", f64::from(self.size) * 1.24).into_font();
        let font = if self.bold { font.style(FontStyle::Bold) } else { font };
        let font = if self.turned { font.transform(FontTransform::Rotate270) } else { font };
        let style = font.color(&self.color).pos(Pos::new(self.across, self.along));
        area.draw_text(text, &style, at).map_err(failed)
    }
}

/// The panel's heading.
pub fn heading(area: &Area<'_>, text: &str) -> Drawn {
    Label::new(15, INK).bold().draw(area, text, (LEFT, TOP / 2))
}

/// The square in which both axes go from 0 to 1, with its ticks, the names of the axes and the diagonal.
pub struct UnitSquare {
    left: i32,
    top: i32,
    side: i32,
}

impl UnitSquare {
    pub fn draw(area: &Area<'_>, across: &str, along: &str) -> Result<Self, DrawError> {
        let (width, height) = (PANEL.0 as i32, PANEL.1 as i32);
        let side = (width - LEFT - RIGHT).min(height - TOP - BOTTOM);
        let square = Self { left: LEFT, top: TOP, side };
        let line = |from, to, style: ShapeStyle| area.draw(&PathElement::new(vec![from, to], style)).map_err(failed);
        for n in 0..=5 {
            let x = f64::from(n) / 5.0;
            line(square.at(x, 0.0), square.at(x, 1.0), FAINT.stroke_width(1))?;
            line(square.at(0.0, x), square.at(1.0, x), FAINT.stroke_width(1))?;
            let (tick, below, beside) = (format!("{x:.1}"), square.at(x, 0.0), square.at(0.0, x));
            Label::new(12, SOFT).at(HPos::Center, VPos::Top).draw(area, &tick, (below.0, below.1 + 7))?;
            Label::new(12, SOFT).at(HPos::Right, VPos::Center).draw(area, &tick, (beside.0 - 7, beside.1))?;
        }
        line(square.at(0.0, 0.0), square.at(1.0, 0.0), SOFT.stroke_width(1))?;
        line(square.at(0.0, 0.0), square.at(0.0, 1.0), SOFT.stroke_width(1))?;
        square.dashes(area)?;
        names(area, across, along, (LEFT + side / 2, TOP + side / 2), TOP + side)?;
        Ok(square)
    }

    /// The point of the panel for a point of the square.
    pub fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let place = |share: f64| (share.clamp(0.0, 1.0) * f64::from(self.side)).round() as i32;
        (self.left + place(x), self.top + self.side - place(y))
    }

    /// The diagonal: chance for a ROC curve, perfection for a calibration.
    fn dashes(&self, area: &Area<'_>) -> Drawn {
        const DASHES: u32 = 40;
        for n in (0..DASHES).map(f64::from) {
            let (from, to) = (n / f64::from(DASHES), (n + 0.55) / f64::from(DASHES));
            let dash = PathElement::new(vec![self.at(from, from), self.at(to, to)], SOFT.stroke_width(1));
            area.draw(&dash).map_err(failed)?;
        }
        Ok(())
    }
}

/// The names of the axes, around the middle of the inside.
pub fn names(area: &Area<'_>, across: &str, along: &str, middle: (i32, i32), bottom: i32) -> Drawn {
    let name = Label::new(13, INK);
    name.at(HPos::Center, VPos::Top).draw(area, across, (middle.0, bottom + 32))?;
    Label::new(13, INK).at(HPos::Center, VPos::Center).turned().draw(area, along, (16, middle.1))
}
