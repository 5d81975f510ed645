//! Logs as JSON lines with dotted fields, metrics in the embedded metric format, and panics as log lines.

use tracing::{Level, Metadata};
#[cfg(feature = "cloud")]
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, LevelFilter, Targets, filter_fn},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

#[cfg(feature = "cloud")]
use crate::{
    Function,
    metrics::{self, MetricLayer},
};

/// Rooms of others whose debug lines print items, headers or addresses: only their warnings are let through,
/// whatever the filter asks for.
const LIBRARIES_THAT_TELL: [&str; 11] = [
    "aws_",
    "hyper",
    "h2",
    "reqwest",
    "rustls",
    "s3s",
    "dynoxide",
    "lambda_runtime_api_client",
    "tower",
    "rusqlite",
    "lambda_http",
];

/// Whether a line may be written at all.
#[must_use]
pub fn tells_no_secret(metadata: &Metadata<'_>) -> bool {
    let from_a_library = LIBRARIES_THAT_TELL.iter().any(|prefix| metadata.target().starts_with(prefix));
    !from_a_library || *metadata.level() <= Level::WARN
}

/// Starts logs and metrics of a function, to standard output. `CALMESH_LOG` is a filter such as `debug` or
/// `info,calmesh_app=debug`. A second call does nothing.
#[cfg(feature = "cloud")]
pub fn start(function: Function) {
    let wanted = std::env::var("CALMESH_LOG").ok().filter(|wanted| !wanted.is_empty());
    let wanted = wanted.as_deref().unwrap_or("info");
    // A filter that can't be read must not silence a function. Regular expressions in filters are worth no megabyte.
    let wanted: Targets = wanted.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false).with_filter(
            wanted.and(filter_fn(tells_no_secret)).and(filter_fn(|line| line.target() != metrics::TARGET)),
        );
    let stack = std::env::var("CALMESH_STACK").ok().filter(|stack| !stack.is_empty());
    let counts =
        MetricLayer::new(stack, function.as_str()).with_filter(filter_fn(|line| line.target() == metrics::TARGET));
    let _ = tracing_subscriber::registry().with(lines).with(counts).try_init();
    log_panics();
}

/// A panic becomes one log line with its place. Of its text only what the source itself says is kept: a formatted
/// one may quote a feed.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(its text may quote contents)");
        tracing::error!(panic.place = place, panic.text = text, "something panicked");
    }));
}

/// An error with its causes, outermost first, for the one place that logs it.
#[must_use]
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        // Transparent errors say what their cause says.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn an_error_is_told_with_its_causes() {
        assert_eq!(chain(&Outer(std::io::Error::other("inner"))), "outer: inner");
    }
}
