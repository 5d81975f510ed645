//! What S3 puts into a queue when an object is there.

use serde::Deserialize;

/// Why a message is no notification of a log.
#[derive(Debug, thiserror::Error)]
pub enum NotificationError {
    #[error("the message is no notification of S3")]
    Unreadable(#[source] serde_json::Error),
    #[error("the notification is of another bucket than that of the logs")]
    OtherBucket,
    #[error("the name of an object is not written as S3 writes names")]
    Name,
}

/// The one message that S3 sends when notifications are set up has `Event` and no records.
#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "Event")]
    event: Option<String>,
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    s3: Told,
}

#[derive(Deserialize)]
struct Told {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// The names of the logs that a message of S3 tells of: none in the one that only says that notifications work.
///
/// # Errors
/// When it is something else, or of another bucket than `bucket`.
pub fn new_logs(message: &str, bucket: &str) -> Result<Vec<String>, NotificationError> {
    let told: Notification = serde_json::from_str(message).map_err(NotificationError::Unreadable)?;
    if told.event.as_deref() == Some("s3:TestEvent") {
        return Ok(Vec::new());
    }
    if told.records.is_empty() {
        return Err(NotificationError::Unreadable(serde::de::Error::missing_field("Records")));
    }
    let name = |record: Record| match record.s3.bucket.name == bucket {
        true => decoded(&record.s3.object.key).ok_or(NotificationError::Name),
        false => Err(NotificationError::OtherBucket),
    };
    told.records.into_iter().map(name).collect()
}

/// Keys are written as in a form: `+` is a space, and `%2B` a plus.
fn decoded(key: &str) -> Option<String> {
    let mut bytes = key.bytes();
    let mut name = Vec::with_capacity(key.len());
    while let Some(byte) = bytes.next() {
        name.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bucket: &str, key: &str) -> String {
        format!(
            r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put",
            "s3":{{"bucket":{{"name":"{bucket}"}},"object":{{"key":"{key}","size":1024}}}}}}]}}"#
        )
    }

    #[test]
    fn a_new_log_is_named() {
        let logs = new_logs(&message("logs", "links/E2ABC.2026-12-04-10.abcd%3D+e.gz"), "logs").unwrap();
        assert_eq!(logs, ["links/E2ABC.2026-12-04-10.abcd= e.gz"]);
    }

    #[test]
    fn the_message_that_notifications_work_names_none() {
        let message = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"logs","RequestId":"1","HostId":"2"}"#;
        assert!(new_logs(message, "logs").unwrap().is_empty());
    }

    #[test]
    fn what_is_of_another_bucket_or_no_notification_is_refused() {
        assert!(matches!(new_logs(&message("exports", "a.gz"), "logs"), Err(NotificationError::OtherBucket)));
        assert!(matches!(new_logs(&message("logs", "a%2"), "logs"), Err(NotificationError::Name)));
        for message in ["", "{}", "[]", r#"{"Records":[]}"#, r#"{"Records":[{"s3":{}}]}"#] {
            assert!(matches!(new_logs(message, "logs"), Err(NotificationError::Unreadable(_))), "{message}");
        }
    }
}
