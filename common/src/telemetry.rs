//! Logging: `SHARDMILL_LOG` chooses what is logged (`info`, `shardmill_worker=debug`), `SHARDMILL_LOG_FORMAT=json` how. Logs go to
//! standard error; standard output belongs to results.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging at `default` unless `SHARDMILL_LOG` says otherwise. A second call has no effect.
pub fn init(default: &str) {
    let filter = EnvFilter::try_from_env("SHARDMILL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused; the first one stays, which is what a caller wants.
    let _ = if std::env::var("SHARDMILL_LOG_FORMAT").is_ok_and(|f| f == "json") {
        builder.json().try_init()
    } else {
        builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).try_init()
    };
}
