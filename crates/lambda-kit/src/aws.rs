//! What the SDK clients have in common, from the variables that Lambda sets in every function. The SDK's own loader
//! also looks for credentials in profiles, containers, instances and web identities, of which a function has none; it
//! would be a tenth of each function.

use std::time::Duration;

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedHttpClient, retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{
    SdkConfig,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use calmesh_https::OnDemand;

use crate::ConfigError;

/// A connection to AWS stands within this time, or another attempt begins.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The address of AWS where it is not AWS's own: an emulator's.
const ENDPOINT: &str = "AWS_ENDPOINT_URL";

/// Four attempts of ten seconds at most, 25 seconds in all.
///
/// # Errors
/// When a variable that Lambda sets is missing.
pub(crate) fn from_env(http: SharedHttpClient) -> Result<SdkConfig, ConfigError> {
    let set = |variable, wanted| text(variable).ok_or(ConfigError::Missing { variable, wanted });
    let credentials = Credentials::new(
        set("AWS_ACCESS_KEY_ID", "the function's own credentials")?,
        set("AWS_SECRET_ACCESS_KEY", "the function's own credentials")?,
        text("AWS_SESSION_TOKEN"),
        None,
        "the environment",
    );
    let mut sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(set("AWS_REGION", "the region")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .http_client(http)
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(Duration::from_secs(10))
                .operation_timeout(Duration::from_secs(25))
                .build(),
        )
        .service_config(Environment);
    sdk.set_endpoint_url(text(ENDPOINT));
    Ok(sdk.build())
}

/// S3's client; on an emulator buckets have no host names of their own.
pub(crate) fn s3(sdk: &SdkConfig) -> aws_sdk_s3::Client {
    let on_an_emulator = [ENDPOINT, "AWS_ENDPOINT_URL_S3"].into_iter().any(|variable| text(variable).is_some());
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(sdk).force_path_style(on_an_emulator).build())
}

/// The client that `make` makes, when it is first used.
pub(crate) fn on_demand<C>(sdk: &SdkConfig, make: impl FnOnce(&SdkConfig) -> C + Send + 'static) -> OnDemand<C> {
    let sdk = sdk.clone();
    OnDemand::new(move || make(&sdk))
}

/// A blank value counts as not set.
fn text(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.trim().is_empty())
}

/// What is said of one service alone, such as `AWS_ENDPOINT_URL_S3`.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        text(&variable_of(key.env(), key.service_id()))
    }
}

fn variable_of(setting: &str, service: &str) -> String {
    format!("{setting}_{}", service.to_uppercase().replace(' ', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_variables_of_its_own() {
        assert_eq!(variable_of(ENDPOINT, "S3"), "AWS_ENDPOINT_URL_S3");
        assert_eq!(variable_of(ENDPOINT, "Secrets Manager"), "AWS_ENDPOINT_URL_SECRETS_MANAGER");
    }
}
