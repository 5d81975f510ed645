//! Metrics as CloudWatch reads them out of the log: one line of the embedded metric format for each event of the
//! target [`TARGET`], so that whoever counts needs nothing but `tracing`.
//!
//! `tracing::info!(target: "calmesh::metric", refreshes = 300, unchanged = 298)` is two metrics; a text field
//! (`reason = "timed_out"`) is a dimension. Fields in numbers ending in `_ms`, `_seconds` or `_bytes` carry that unit.

use std::io::Write;

use calmesh_app::ports::Clock;
use serde_json::{Map, Value, json};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use crate::SystemClock;

/// Events of this target are metrics.
pub const TARGET: &str = "calmesh::metric";
/// CloudWatch's namespace for all of them.
pub const NAMESPACE: &str = "Calmesh";

/// Writes metric lines to standard output, where Lambda's log takes them up.
#[derive(Debug, Clone)]
pub struct MetricLayer {
    stack: Option<String>,
    function: &'static str,
}

impl MetricLayer {
    /// `stack`, where there is one, and `function` are dimensions of every metric: an account may hold several
    /// stacks, and the alarms of one must not hear another.
    #[must_use]
    pub fn new(stack: Option<String>, function: &'static str) -> Self {
        Self { stack, function }
    }
}

impl<S: Subscriber> Layer<S> for MetricLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != TARGET {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(line) =
            embedded_line(self.stack.as_deref(), self.function, SystemClock.now().as_millisecond(), fields)
        {
            // A log that takes nothing more can't be told of it.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

#[derive(Debug, Default)]
struct Fields {
    numbers: Vec<(String, Value)>,
    texts: Vec<(String, String)>,
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.numbers.push((field.name().to_owned(), json!(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.numbers.push((field.name().to_owned(), json!(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.numbers.push((field.name().to_owned(), json!(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.texts.push((field.name().to_owned(), value.to_owned()));
        }
    }

    // What has no plain form is no metric and makes no dimension: its text could be anything.
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

fn unit(name: &str) -> &'static str {
    match name {
        _ if name.ends_with("_ms") => "Milliseconds",
        _ if name.ends_with("_seconds") => "Seconds",
        _ if name.ends_with("_bytes") => "Bytes",
        _ => "Count",
    }
}

/// None when there is no number.
fn embedded_line(stack: Option<&str>, function: &str, at_ms: i64, fields: Fields) -> Option<String> {
    if fields.numbers.is_empty() {
        return None;
    }
    let metrics: Vec<Value> =
        fields.numbers.iter().map(|(name, _)| json!({ "Name": name, "Unit": unit(name) })).collect();
    let mut dimensions: Vec<String> = stack.map(|_| "stack".to_owned()).into_iter().collect();
    dimensions.push("function".to_owned());
    dimensions.extend(fields.texts.iter().map(|(name, _)| name.clone()));
    let mut line = Map::new();
    line.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": at_ms,
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics }],
        }),
    );
    line.extend(stack.map(|stack| ("stack".to_owned(), json!(stack))));
    line.insert("function".to_owned(), json!(function));
    line.extend(fields.texts.into_iter().map(|(name, value)| (name, Value::String(value))));
    line.extend(fields.numbers);
    Some(Value::Object(line).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_one_line_of_the_embedded_metric_format() {
        let fields = Fields {
            numbers: vec![("failed".to_owned(), json!(3)), ("duration_ms".to_owned(), json!(12))],
            texts: vec![("reason".to_owned(), "timed_out".to_owned())],
        };
        let line: Value =
            serde_json::from_str(&embedded_line(Some("calmesh-dev"), "fetch", 1_700_000_000_000, fields).unwrap())
                .unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_700_000_000_000_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Calmesh",
                        "Dimensions": [["stack", "function", "reason"]],
                        "Metrics": [
                            { "Name": "failed", "Unit": "Count" },
                            { "Name": "duration_ms", "Unit": "Milliseconds" },
                        ],
                    }],
                },
                "stack": "calmesh-dev",
                "function": "fetch",
                "reason": "timed_out",
                "failed": 3,
                "duration_ms": 12,
            })
        );
    }

    #[test]
    fn an_event_without_a_number_is_no_metric() {
        assert_eq!(embedded_line(None, "fetch", 0, Fields::default()), None);
    }
}
