//! Putting events on the bus. `PutEvents` takes ten entries and answers 200 also where it took none of them.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_eventbridge::{
    Client, Config,
    config::{http::HttpResponse, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
    types::PutEventsRequestEntry,
};
use calmesh_app::ports::{BusError, Event, EventBus};
use calmesh_https::OnDemand;
use tokio::time::Instant;

use crate::{SOURCE, encode};

/// The service's limit for one request.
const ENTRIES_PER_CALL: usize = 10;
/// Waits before what was refused or not answered is put again: four calls in all, since the client itself makes each
/// but once.
const WAITS: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(800)];
/// No call is made again after this long: the caller's own time is short, and what it could not announce is announced again.
const TRIED_FOR: Duration = Duration::from_secs(12);

/// `EventBus` over EventBridge.
#[derive(Debug, Clone)]
pub struct EventBridgeBus {
    client: OnDemand<Client>,
    bus: String,
    waits: Vec<Duration>,
}

/// The codes with which single entries were refused to the end.
#[derive(Debug, thiserror::Error)]
#[error("entries were refused: {codes}")]
struct Refused {
    codes: String,
}

impl EventBridgeBus {
    /// `bus` is the name or the ARN of the event bus. Time-outs are the client's; its own retries are not made use of.
    #[must_use]
    pub fn new(client: impl Into<OnDemand<Client>>, bus: impl Into<String>) -> Self {
        Self { client: client.into(), bus: bus.into(), waits: WAITS.to_vec() }
    }

    /// Puts at most ten entries, those that are refused again after a while.
    async fn put(&self, mut entries: Vec<PutEventsRequestEntry>) -> Result<(), Unsent> {
        let began = Instant::now();
        let mut waits = self.waits.iter();
        loop {
            let sent = entries.len();
            let once = Config::builder().retry_config(RetryConfig::disabled());
            let put = self.client.put_events().set_entries(Some(entries.clone()));
            let unsent = match put.customize().config_override(once).send().await {
                Ok(answer) => {
                    let results = answer.entries();
                    if answer.failed_entry_count() == 0 && results.iter().all(|result| result.error_code().is_none()) {
                        return Ok(());
                    }
                    // Results stand in the order of the entries. If they do not tell which ones were refused, all were:
                    // an event that is put twice does no harm.
                    let told = results.len() == sent && results.iter().any(|result| result.error_code().is_some());
                    let mut codes: Vec<&str> = results.iter().filter_map(|result| result.error_code()).collect();
                    codes.sort_unstable();
                    codes.dedup();
                    if told {
                        let refused =
                            entries.into_iter().zip(results).filter(|(_, result)| result.error_code().is_some());
                        entries = refused.map(|(entry, _)| entry).collect();
                    }
                    tracing::debug!(
                        events.refused = entries.len(),
                        events.codes = codes.join(","),
                        "the bus refused events"
                    );
                    Unsent::Entries { failed: entries.len(), codes: codes.join(", ") }
                }
                Err(error) if may_pass(&error) => Unsent::Call { failed: sent, source: Box::new(error) },
                Err(error) => return Err(Unsent::Call { failed: sent, source: Box::new(error) }),
            };
            match waits.next().filter(|_| began.elapsed() < TRIED_FOR) {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return Err(unsent),
            }
        }
    }
}

/// Whether the same call may go through a moment later: it was not answered, or the service asks for less or speaks of
/// trouble of its own.
fn may_pass<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout() || failure.is_io(),
        SdkError::ServiceError(refusal) => {
            let status = refusal.raw().status();
            let code = refusal.err().code();
            status.is_server_error()
                || status.as_u16() == 429
                || matches!(code, Some("ThrottlingException" | "Throttling" | "InternalException"))
        }
        _ => false,
    }
}

enum Unsent {
    /// The call failed, again and again unless that could not help.
    Call { failed: usize, source: Box<dyn std::error::Error + Send + Sync> },
    /// Some entries were refused, again and again.
    Entries { failed: usize, codes: String },
}

#[async_trait]
impl EventBus for EventBridgeBus {
    async fn publish(&self, events: &[Event]) -> Result<(), BusError> {
        let total = events.len();
        let fail = |failed, source| BusError { failed, total, source: Some(source) };
        let mut refused = 0;
        let mut all_codes = Vec::new();
        for (number, chunk) in events.chunks(ENTRIES_PER_CALL).enumerate() {
            let entries = chunk
                .iter()
                .map(|event| {
                    let encoded = encode(event)?;
                    let entry = PutEventsRequestEntry::builder()
                        .source(SOURCE)
                        .detail_type(encoded.detail_type)
                        .detail(encoded.detail)
                        .event_bus_name(&self.bus);
                    Ok(entry.build())
                })
                .collect::<Result<Vec<_>, serde_json::Error>>()
                .map_err(|error| fail(total, error.into()))?;
            match self.put(entries).await {
                Ok(()) => {}
                Err(Unsent::Entries { failed, codes }) => {
                    refused += failed;
                    all_codes.push(codes);
                }
                // Nobody answers: the rest would wait for nothing.
                Err(Unsent::Call { failed, source }) => {
                    let unsent = total.saturating_sub(number * ENTRIES_PER_CALL + chunk.len());
                    return Err(fail(refused + failed + unsent, source));
                }
            }
        }
        if refused == 0 {
            return Ok(());
        }
        all_codes.sort_unstable();
        all_codes.dedup();
        Err(fail(refused, Box::new(Refused { codes: all_codes.join(", ") })))
    }
}

#[cfg(test)]
mod tests {
    //! Against a server that speaks the service's protocol, JSON 1.1 with `X-Amz-Target`.

    use std::sync::{Arc, Mutex};

    use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
    use axum::{
        Json, Router,
        extract::State,
        http::{HeaderMap, StatusCode},
        response::{IntoResponse, Response},
        routing::post,
    };
    use calmesh_calendar::PropertyId;
    use calmesh_https::{Roots, aws_http_client};
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;
    use crate::decode;

    /// What the server does with the entries of one call.
    #[derive(Clone)]
    enum Answer {
        Take,
        /// Refuses the entries at these places, and says so in a 200.
        RefuseAt(Vec<usize>, &'static str),
        /// Says that some failed, and not which.
        RefuseWithoutNames,
        Throttle,
        Unavailable,
        Forbid,
    }

    #[derive(Default)]
    struct Bus {
        /// The answers to come, the first one last; then everything is taken.
        answers: Vec<Answer>,
        /// How many entries each call had.
        calls: Vec<usize>,
        taken: Vec<Event>,
    }

    type Shared = Arc<Mutex<Bus>>;

    async fn put_events(State(bus): State<Shared>, headers: HeaderMap, body: String) -> Response {
        assert_eq!(headers["x-amz-target"], "AWSEvents.PutEvents");
        assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
        let body: Value = serde_json::from_str(&body).unwrap();
        let entries = body["Entries"].as_array().unwrap();
        assert!((1..=10).contains(&entries.len()));
        let mut bus = bus.lock().unwrap();
        bus.calls.push(entries.len());
        let answer = bus.answers.pop().unwrap_or(Answer::Take);
        let failure = |status: StatusCode, name| {
            let headers = [("content-type", "application/x-amz-json-1.1")];
            (status, headers, Json(json!({"__type": name, "message": "Rate exceeded"}))).into_response()
        };
        let (refused, code) = match answer {
            Answer::Throttle => return failure(StatusCode::BAD_REQUEST, "ThrottlingException"),
            Answer::Forbid => return failure(StatusCode::BAD_REQUEST, "AccessDeniedException"),
            Answer::Unavailable => return failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            Answer::RefuseWithoutNames => {
                return Json(json!({"FailedEntryCount": entries.len(), "Entries": []})).into_response();
            }
            Answer::Take => (Vec::new(), ""),
            Answer::RefuseAt(refused, code) => (refused, code),
        };
        let mut results = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            assert_eq!(entry["EventBusName"], "calmesh-bus");
            assert_eq!(entry["Source"], SOURCE);
            if refused.contains(&place) {
                results.push(json!({"ErrorCode": code, "ErrorMessage": "no"}));
            } else {
                let detail = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
                bus.taken.push(decode(entry["DetailType"].as_str().unwrap(), &detail).unwrap());
                results.push(json!({"EventId": format!("event-{place}")}));
            }
        }
        Json(json!({"FailedEntryCount": refused.len(), "Entries": results})).into_response()
    }

    /// The bus, and what the server saw. The answers are given in this order.
    async fn bus(answers: impl IntoIterator<Item = Answer>) -> (EventBridgeBus, Shared) {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        let seen = Shared::new(Mutex::new(Bus { answers, ..Bus::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(put_events)).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let config = aws_sdk_eventbridge::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("local"))
            .credentials_provider(Credentials::new("calmesh", "secret", None, None, "tests"))
            .retry_config(RetryConfig::standard().with_initial_backoff(Duration::from_millis(1)))
            .http_client(aws_http_client(Roots::Bundled, Duration::from_secs(5)).unwrap())
            .endpoint_url(format!("http://{address}"))
            .build();
        let mut bus = EventBridgeBus::new(Client::from_conf(config), "calmesh-bus");
        bus.waits = vec![Duration::from_millis(1); 3];
        (bus, seen)
    }

    fn events(count: u8) -> Vec<Event> {
        (0..count).map(|n| Event::PropertyDirty { property: PropertyId::from_random([n; 16]) }).collect()
    }

    #[tokio::test]
    async fn nothing_is_put_for_no_events() {
        let (bus, seen) = bus([]).await;
        bus.publish(&[]).await.unwrap();
        assert!(seen.lock().unwrap().calls.is_empty());
    }

    #[tokio::test]
    async fn events_are_put_in_tens() {
        let (bus, seen) = bus([]).await;
        bus.publish(&events(23)).await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.calls, [10, 10, 3]);
        assert_eq!(seen.taken, events(23));
    }

    #[tokio::test]
    async fn only_what_was_refused_is_put_again() {
        let (bus, seen) =
            bus([Answer::RefuseAt(vec![1, 3], "ThrottlingException"), Answer::RefuseAt(vec![0], "InternalFailure")])
                .await;
        bus.publish(&events(5)).await.unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.calls, [5, 2, 1]);
        let expected = [0, 2, 4, 3, 1].map(|n| events(5)[n].clone());
        assert_eq!(seen.taken, expected);
    }

    #[tokio::test]
    async fn what_is_refused_to_the_end_is_an_error_and_the_others_are_put() {
        let refuse = |places: Vec<usize>| Answer::RefuseAt(places, "ThrottlingException");
        let (bus, seen) = bus([refuse(vec![2]), refuse(vec![0]), refuse(vec![0]), refuse(vec![0])]).await;
        let error = bus.publish(&events(12)).await.unwrap_err();
        assert_eq!((error.failed, error.total), (1, 12));
        assert_eq!(error.source.unwrap().to_string(), "entries were refused: ThrottlingException");
        let seen = seen.lock().unwrap();
        assert_eq!(seen.calls, [10, 1, 1, 1, 2]);
        assert_eq!(seen.taken.len(), 11);
    }

    #[tokio::test]
    async fn a_failure_that_names_no_entry_puts_all_again() {
        let (bus, seen) = bus([Answer::RefuseWithoutNames]).await;
        bus.publish(&events(3)).await.unwrap();
        assert_eq!(seen.lock().unwrap().calls, [3, 3]);
    }

    #[tokio::test]
    async fn a_throttled_call_is_made_again() {
        let (bus, seen) = bus([Answer::Throttle, Answer::Unavailable]).await;
        bus.publish(&events(2)).await.unwrap();
        assert_eq!(seen.lock().unwrap().taken, events(2));
    }

    #[tokio::test]
    async fn a_service_that_is_away_fails_what_was_not_put() {
        let (bus, seen) = bus([vec![Answer::Take], vec![Answer::Unavailable; 9]].concat()).await;
        let error = bus.publish(&events(25)).await.unwrap_err();
        assert_eq!((error.failed, error.total), (15, 25));
        assert_eq!(seen.lock().unwrap().taken, events(10));
    }

    #[tokio::test]
    async fn a_call_is_made_four_times_at_most_however_it_fails_and_the_client_is_configured() {
        let some = || Answer::RefuseAt(vec![0], "InternalFailure");
        for (answers, calls) in [
            (vec![Answer::Throttle; 40], 4),
            (vec![Answer::Unavailable; 40], 4),
            (vec![some(); 40], 4),
            // Whole calls and entries, one after the other.
            (vec![Answer::Unavailable, some(), Answer::Throttle, some(), some()], 4),
            (vec![Answer::Forbid; 40], 1),
        ] {
            let (bus, seen) = bus(answers).await;
            bus.publish(&events(3)).await.unwrap_err();
            assert_eq!(seen.lock().unwrap().calls.len(), calls);
        }
    }
}
