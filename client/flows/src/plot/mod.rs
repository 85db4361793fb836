//! Pictures of evaluations, as SVG with real text: they need no font to be drawn and can be searched.

mod calibration;
mod matrix;
mod picture;
mod roc;
mod style;

pub use picture::{Panel, draw};
pub use style::DrawError;
