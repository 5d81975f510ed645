//! Batches of SQS messages: a few at a time, each failing for itself alone.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures::{FutureExt, StreamExt, stream};

use crate::telemetry;

/// Why a message was left to be delivered again.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("the message is no event of ours")]
    Undecodable(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the work failed")]
    Work(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the work panicked")]
    Panicked,
    /// What was done so far stays done; the next delivery goes on from there.
    #[error("the work was not finished when the invocation had to end")]
    OutOfTime,
}

/// A message without an id: SQS sends none, and it could not be answered for alone.
#[derive(Debug, thiserror::Error)]
#[error("a message came without an id, so the whole batch is left to be delivered again")]
pub struct NamelessMessage;

/// How a batch is worked on.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// Messages at a time.
    pub concurrency: usize,
    /// What is not done by then is left to be delivered again, so that it does not take the others with it.
    pub within: Duration,
}

/// Works on every message of a batch and answers which are to be delivered again. A failure, a panic or the lack of
/// time of one is that message's alone.
///
/// # Errors
/// `NamelessMessage`; nothing was worked on then.
pub async fn work_batch<F, W>(
    event: SqsEvent,
    limits: BatchLimits,
    work: F,
) -> Result<SqsBatchResponse, NamelessMessage>
where
    F: Fn(SqsMessage) -> W,
    W: Future<Output = Result<(), MessageError>>,
{
    let mut messages = Vec::with_capacity(event.records.len());
    for message in event.records {
        let id = message.message_id.clone().filter(|id| !id.is_empty()).ok_or(NamelessMessage)?;
        messages.push((id, message));
    }
    let total = messages.len();
    let end = tokio::time::Instant::now() + limits.within;
    let work = &work;
    let failed: Vec<String> = stream::iter(messages)
        .map(|(id, message)| async move {
            let attempt = AssertUnwindSafe(async { work(message).await }).catch_unwind();
            let outcome = match tokio::time::timeout_at(end, attempt).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(MessageError::Panicked),
                Err(_) => Err(MessageError::OutOfTime),
            };
            outcome.err().map(|error| {
                let error = telemetry::chain(&error);
                tracing::error!(message.id = id, error, "a message is left to be delivered again");
                id
            })
        })
        .buffer_unordered(limits.concurrency.max(1))
        .filter_map(|failed| async move { failed })
        .collect()
        .await;
    tracing::info!(target: crate::metrics::TARGET, messages = total, messages_failed = failed.len());
    let mut response = SqsBatchResponse::default();
    response.set_failures(failed);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits = BatchLimits { concurrency: 2, within: Duration::from_secs(5) };

    fn batch(bodies: &[&str]) -> SqsEvent {
        let records = bodies.iter().map(|body| {
            let mut message = SqsMessage::default();
            message.message_id = Some(format!("id-{body}"));
            message.body = Some((*body).to_owned());
            message
        });
        let mut event = SqsEvent::default();
        event.records = records.collect();
        event
    }

    fn ids(response: SqsBatchResponse) -> Vec<String> {
        let mut ids: Vec<String> = response.batch_item_failures.into_iter().map(|f| f.item_identifier).collect();
        ids.sort();
        ids
    }

    #[tokio::test(start_paused = true)]
    async fn one_message_that_fails_panics_or_hangs_fails_alone() {
        let work = |message: SqsMessage| async move {
            match message.body.as_deref() {
                Some("fails") => Err(MessageError::Work("no".into())),
                Some("panics") => panic!("poisoned"),
                Some("hangs") => std::future::pending().await,
                _ => Ok(()),
            }
        };
        let event = batch(&["a", "panics", "b", "fails", "c", "hangs", "d"]);
        let response = work_batch(event, LIMITS, work).await.unwrap();
        assert_eq!(ids(response), ["id-fails", "id-hangs", "id-panics"]);
    }

    #[tokio::test]
    async fn a_panic_before_the_first_await_fails_alone_too() {
        let work = |message: SqsMessage| {
            assert_ne!(message.body.as_deref(), Some("panics"));
            async { Ok(()) }
        };
        let response = work_batch(batch(&["a", "panics"]), LIMITS, work).await.unwrap();
        assert_eq!(ids(response), ["id-panics"]);
    }

    #[tokio::test]
    async fn a_batch_with_a_nameless_message_is_left_as_a_whole() {
        let mut event = batch(&["a", "b"]);
        event.records[1].message_id = None;
        assert!(work_batch(event, LIMITS, |_| async { Ok(()) }).await.is_err());
    }

    #[tokio::test]
    async fn no_more_than_the_limit_is_worked_on_at_a_time() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_| async {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        };
        work_batch(batch(&["a", "b", "c", "d", "e"]), LIMITS, work).await.unwrap();
        assert_eq!(most.into_inner(), 2);
    }
}
