//! The process's own log: lines on standard error, for people or as JSON.
//!
//! Writing happens on a thread of its own. What it cannot keep up with is dropped and counted, so that a full pipe
//! never stops a broker.

use std::io;

use highwater_core::config::{LogFormat, LogLevel};
use slog::{Drain, Level, LevelFilter, Logger};
use slog_async::{Async, AsyncGuard, OverflowStrategy};

/// Lines that may wait to be written.
const LINES_MAX: usize = 4096;

/// A logger, and the guard that writes out what is queued when it is dropped.
pub fn logger(format: LogFormat, level: LogLevel) -> (Logger, AsyncGuard) {
    let level = match level {
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warning,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
        LogLevel::Trace => Level::Trace,
    };
    let (drain, guard) = match format {
        LogFormat::Text => {
            let terminal = slog_term::TermDecorator::new().stderr().build();
            let format = slog_term::FullFormat::new(terminal).use_utc_timestamp().use_original_order();
            asynchronous(format.build().fuse())
        }
        LogFormat::Json => asynchronous(slog_json::Json::default(io::stderr()).fuse()),
    };
    (Logger::root(LevelFilter::new(drain, level).fuse(), slog::o!()), guard)
}

fn asynchronous<D>(drain: D) -> (slog::Fuse<Async>, AsyncGuard)
where
    D: Drain<Ok = (), Err = slog::Never> + Send + 'static,
{
    let (drain, guard) =
        Async::new(drain).chan_size(LINES_MAX).overflow_strategy(OverflowStrategy::DropAndReport).build_with_guard();
    (drain.fuse(), guard)
}
