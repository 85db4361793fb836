//! Whole pictures: a title and panels side by side.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use shardmill_common::model::Evaluation;
use shardmill_common::units::show_count;

use super::style::{DrawError, Drawn, INK, Label, PANEL, SOFT, failed, plain};
use super::{calibration, matrix, roc};

/// Above the panels.
const TITLE: u32 = 62;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Panel {
    Roc,
    ConfusionMatrix,
    Calibration,
}

impl Panel {
    pub const ALL: [Panel; 3] = [Panel::Roc, Panel::ConfusionMatrix, Panel::Calibration];

    /// The name of its file.
    pub const fn file(self) -> &'static str {
        match self {
            Panel::Roc => "roc.svg",
            Panel::ConfusionMatrix => "confusion_matrix.svg",
            Panel::Calibration => "calibration.svg",
        }
    }
}

/// An SVG document of an evaluated classifier.
pub fn draw(evaluation: &Evaluation, panels: &[Panel]) -> Result<String, DrawError> {
    let mut svg = String::new();
    draw_to(&mut svg, evaluation, panels)?;
    Ok(svg)
}

fn draw_to(svg: &mut String, evaluation: &Evaluation, panels: &[Panel]) -> Drawn {
    let size = (PANEL.0 * panels.len().max(1) as u32, PANEL.1 + TITLE);
    let root = SVGBackend::with_string(svg, size).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (above, below) = root.split_vertically(TITLE);
    let limit = size.0 as usize / 11;
    let title = plain(&format!("{} on {}", evaluation.model, evaluation.data), limit);
    Label::new(18, INK).bold().at(HPos::Left, VPos::Center).draw(&above, &title, (24, 24))?;
    let subtitle = plain(&subtitle(evaluation, panels.len()), size.0 as usize / 7);
    Label::new(13, SOFT).at(HPos::Left, VPos::Center).draw(&above, &subtitle, (24, 48))?;
    for (panel, area) in panels.iter().zip(below.split_evenly((1, panels.len().max(1)))) {
        match panel {
            Panel::Roc => roc::draw(&area, evaluation)?,
            Panel::ConfusionMatrix => matrix::draw(&area, evaluation)?,
            Panel::Calibration => calibration::draw(&area, evaluation)?,
        }
    }
    root.present().map_err(failed)
}

fn subtitle(evaluation: &Evaluation, panels: usize) -> String {
    let mut parts = Vec::new();
    parts.extend(evaluation.label.as_ref().map(|label| format!("label {label}")));
    parts.push(if evaluation.rows == 1 { "1 row".to_owned() } else { format!("{} rows", show_count(evaluation.rows)) });
    let wanted = ["accuracy", "f1", "roc_auc", "log_loss"].iter().take(if panels > 1 { 4 } else { 1 });
    parts.extend(wanted.filter_map(|name| Some(format!("{name} {:.4}", evaluation.metrics.get(*name)?))));
    parts.join("  ·  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardmill_common::ids::JobId;
    use shardmill_common::model::{CalibrationBin, ClassValue, Curve};
    use shardmill_common::time::Timestamp;

    fn evaluation(classes: &[&str]) -> Evaluation {
        let n = classes.len();
        let curves = if n == 2 { &classes[1..] } else { classes };
        let along: Vec<f64> = (0..=100).map(|i| f64::from(i) / 100.0).collect();
        let mut metrics: std::collections::BTreeMap<String, f64> = [
            ("accuracy", 0.9123),
            ("f1", 0.8),
            ("roc_auc", 0.9512),
            ("log_loss", 0.25),
            ("expected_calibration_error", 0.0213),
        ]
        .map(|(name, x)| (name.to_owned(), x))
        .into();
        metrics.extend(classes.iter().map(|c| (format!("roc_auc/{c}"), 0.9)));
        Evaluation {
            model: "churn@3".parse().unwrap(),
            data: "customers_test@12".parse().unwrap(),
            served: None,
            label: Some("churned".into()),
            rows: 1_234_567,
            rows_skipped: 3,
            metrics,
            classes: classes.iter().map(|c| ClassValue::String((*c).to_owned())).collect(),
            confusion_matrix: (0..n)
                .map(|i| (0..n).map(|j| if i == j { 80_123 } else { (i * 3_000 + j * 170) as u64 }).collect())
                .collect(),
            calibration: (0..10)
                .filter(|i| *i != 7)
                .map(|i| {
                    let from = f64::from(i) / 10.0;
                    let rows = [900_000, 90_000, 30_000, 9_000, 20_000, 31_000, 44_000, 1, 70_000, 400_000][i as usize];
                    CalibrationBin {
                        from,
                        to: from + 0.1,
                        rows,
                        predicted: from + 0.04,
                        observed: (from + 0.08).powf(1.15),
                    }
                })
                .collect(),
            roc: curves
                .iter()
                .zip(2..)
                .map(|(c, k)| Curve {
                    class: (*c).to_owned(),
                    false_positive_rate: along.clone(),
                    true_positive_rate: along.iter().map(|x| x.powf(1.0 / (f64::from(k) + 2.0))).collect(),
                })
                .collect(),
            job: JobId(1),
            created: Timestamp(0),
        }
    }

    /// The texts of a document, which fails to be read if it is not well formed.
    fn texts(svg: &str) -> Vec<String> {
        use quick_xml::events::Event;
        let mut reader = quick_xml::Reader::from_str(svg);
        reader.config_mut().check_end_names = true;
        let (mut out, mut depth) = (Vec::new(), 0);
        loop {
            match reader.read_event().unwrap() {
                Event::Start(_) => {
                    depth += 1;
                    out.push(String::new());
                }
                Event::End(_) => depth -= 1,
                Event::Text(text) => out.last_mut().unwrap().push_str(&text.decode().unwrap()),
                Event::GeneralRef(name) => out.last_mut().unwrap().push_str(&format!("&{};", name.decode().unwrap())),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(depth, 0);
        out.iter().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect()
    }

    #[test]
    fn pictures_are_well_formed_whatever_the_classes_are_called() {
        let svg = draw(&evaluation(&["<b>&\"'", "a\u{1}\u{202e}\u{ffff}\n"]), &Panel::ALL).unwrap();
        let texts = texts(&svg);
        assert!(texts.contains(&"churn@3 on customers_test@12".to_owned()), "{texts:?}");
        assert!(texts.iter().any(|t| t.starts_with("&lt;b&gt;&amp;")), "{texts:?}");
        assert!(texts.iter().any(|t| t.contains("AUC 0.9512")), "{texts:?}");
        assert!(texts.contains(&"80,123".to_owned()), "{texts:?}");
        assert!(svg.chars().all(|c| (c == '\n' || !c.is_control()) && c != '\u{ffff}'));
    }

    #[test]
    fn pictures_are_made_of_any_number_of_classes() {
        let names: Vec<String> = (0..60).map(|n| format!("class number {n}")).collect();
        for count in [1, 3, 12, 60] {
            let names: Vec<&str> = names[..count].iter().map(String::as_str).collect();
            for panel in Panel::ALL {
                assert!(!texts(&draw(&evaluation(&names), &[panel]).unwrap()).is_empty());
            }
        }
        let mut bare = evaluation(&["0", "1"]);
        bare.roc.clear();
        bare.calibration.clear();
        assert!(texts(&draw(&bare, &Panel::ALL).unwrap()).iter().any(|t| t.starts_with("not defined")));
    }

    #[test]
    fn the_largest_classes_are_named_and_rows_of_nothing_have_no_shares() {
        let names: Vec<String> = (0..10).map(|n| format!("a class of the number {n}")).collect();
        let mut many = evaluation(&names.iter().map(String::as_str).collect::<Vec<_>>());
        many.confusion_matrix[0] = vec![0; 10];
        many.confusion_matrix[4] = vec![1; 10];
        let legend = texts(&draw(&many, &[Panel::Roc]).unwrap());
        let named: Vec<&str> = legend.iter().filter_map(|t| t.split_once(": AUC")).map(|(name, _)| name).collect();
        let wanted = [1, 2, 3, 5, 6, 7, 8, 9].map(|n| format!("a class o…number {n}"));
        assert_eq!(named, wanted, "{legend:?}");
        assert!(legend.contains(&"and 2 more classes".to_owned()), "{legend:?}");
        let mut one = evaluation(&["", "b"]);
        (one.rows, one.confusion_matrix) = (1, vec![vec![0, 0], vec![0, 1]]);
        let told = texts(&draw(&one, &[Panel::ConfusionMatrix]).unwrap());
        for part in ["–", "100.0 %", "\"\""] {
            assert!(told.iter().any(|t| t.replace("&quot;", "\"") == part), "{part} is not in {told:?}");
        }
        assert!(told.iter().any(|t| t.contains("1 row ")), "{told:?}");
    }

    /// Puts samples where the variable says, to be looked at.
    #[test]
    fn samples_can_be_looked_at() {
        let Ok(folder) = std::env::var("SHARDMILL_PLOT_SAMPLES") else { return };
        let many: Vec<String> = (0..14).map(|n| format!("class {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (name, classes) in
            [("two", &["no", "yes"][..]), ("three", &["setosa", "versicolor", "virginica"]), ("many", &many)]
        {
            std::fs::write(format!("{folder}/{name}.svg"), draw(&evaluation(classes), &Panel::ALL).unwrap()).unwrap();
        }
        std::fs::write(format!("{folder}/roc.svg"), draw(&evaluation(&["0", "1"]), &[Panel::Roc]).unwrap()).unwrap();
    }
}
