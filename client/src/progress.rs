//! A progress bar that appears when work takes longer than a second: rows, bytes, time left.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shardmill_common::units::show_count;

const BEFORE_SHOWN: Duration = Duration::from_secs(1);

/// One bar. Without a target it is never drawn.
pub struct Bar {
    bar: ProgressBar,
    begun: Instant,
    target: Option<fn() -> ProgressDrawTarget>,
    template: &'static str,
}

impl Bar {
    pub fn new(target: Option<fn() -> ProgressDrawTarget>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        Self { bar, begun: Instant::now(), target, template: "" }
    }

    /// Where the work stands, in bytes of its input.
    pub fn bytes(&mut self, label: &str, rows: Option<u64>, done: u64, total: u64) {
        self.show("{spinner} {msg} {wide_bar} {bytes}/{total_bytes} · {eta} left");
        let message = match rows {
            Some(rows) => format!("{label} · {} rows", show_count(rows)),
            None => label.to_owned(),
        };
        self.bar.set_length(total.max(done));
        self.bar.set_position(done);
        self.bar.set_message(message);
    }

    /// Where the work stands, in some countable unit.
    pub fn count(&mut self, label: &str, done: u64, total: u64) {
        self.show("{spinner} {msg} {wide_bar} {human_pos}/{human_len} · {eta} left");
        self.bar.set_length(total.max(done));
        self.bar.set_position(done);
        self.bar.set_message(label.to_owned());
    }

    fn show(&mut self, template: &'static str) {
        let Some(target) = self.target else { return };
        if self.begun.elapsed() < BEFORE_SHOWN {
            return;
        }
        if self.template == template {
            return;
        }
        let first = self.template.is_empty();
        self.template = template;
        if let Ok(style) = ProgressStyle::with_template(template) {
            // Bytes of one stage are no tasks of the next.
            self.bar.set_position(0);
            self.bar.reset_eta();
            self.bar.set_style(style);
        }
        if first {
            self.bar.set_draw_target(target());
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// Shows `text` above the bar, or on its own where no bar is drawn.
    pub fn pause(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
