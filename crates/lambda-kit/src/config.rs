//! A function's configuration, read once from its environment. Every refusal names the variable and what to do.

use std::{collections::BTreeSet, fmt, str::FromStr};

use calmesh_app::model::ProviderId;
use jiff::SignedDuration;
use url::Url;

use crate::CONTACT_URL;

/// Which function this process is: each of them is given only what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Schedule,
    Fetch,
    Merge,
    Access,
    Api,
}

impl Function {
    /// The word that logs and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Fetch => "fetch",
            Self::Merge => "merge",
            Self::Access => "access",
            Self::Api => "api",
        }
    }

    /// Whether it signs cursors or marks exports, and so may read the deployment's secret.
    #[must_use]
    pub fn reads_deployment_secret(self) -> bool {
        matches!(self, Self::Merge | Self::Api)
    }

    /// Whether somebody may call it with the operator's key.
    #[must_use]
    pub fn reads_operator_key(self) -> bool {
        matches!(self, Self::Api)
    }

    /// Whether it tells hosts the addresses of their private links.
    #[must_use]
    pub fn tells_links(self) -> bool {
        matches!(self, Self::Api)
    }

    /// Whether it seals anything.
    #[must_use]
    pub fn seals(self) -> bool {
        matches!(self, Self::Api)
    }

    /// Whether it reads or writes exports or snapshots.
    #[must_use]
    pub fn keeps_objects(self) -> bool {
        !matches!(self, Self::Schedule | Self::Access)
    }

    /// Whether it reads the logs of who read links.
    #[must_use]
    pub fn takes_logs(self) -> bool {
        matches!(self, Self::Access)
    }
}

/// What the environment says. Holds names and addresses, never a secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// The DynamoDB table.
    pub table: String,
    /// The S3 bucket that CloudFront reads. Empty for a function that keeps no objects.
    pub exports_bucket: String,
    /// The S3 bucket of fetched bodies. Empty for a function that keeps no objects.
    pub snapshots_bucket: String,
    /// The S3 bucket that CloudFront logs the reads of links to, for the function that takes the logs.
    pub access_log_bucket: Option<String>,
    /// The EventBridge bus, by name or ARN.
    pub bus: String,
    /// Where private links are served, such as `https://d111.cloudfront.net`, for the function that tells their addresses.
    links_base: Option<Url>,
    /// The page that the fetcher names to the hosts of feeds.
    pub contact: Url,
    /// CloudFormation's id of the stack, which no other stack has or had.
    pub stack_id: String,
    /// Providers refused over iCalendar.
    pub refused_providers: BTreeSet<ProviderId>,
    /// Every connection is read once in this period.
    pub sweep_period: SignedDuration,
    /// A power of two from 1 to 4,096.
    pub shards: u16,
    /// Feeds may be on private addresses: a stack on an emulator only.
    pub private_feeds: bool,
    /// Secrets Manager's name or ARN of the deployment's secret, for the functions that read it.
    pub deployment_secret: Option<String>,
    /// Secrets Manager's name or ARN of the operator's key, for the function that reads it.
    pub operator_key: Option<String>,
    /// The KMS key that seals, for the function that seals.
    pub kms_key: Option<String>,
    /// An OIDC issuer whose JWTs are accepted too, with the audience that they must name.
    pub oidc: Option<Oidc>,
    /// Origins that browsers may call the API from; none by default.
    pub cors_origins: Vec<String>,
    /// How many messages of a batch are worked on at a time.
    pub concurrency: usize,
}

/// An OIDC issuer and its audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// To the letter: a URL that was read and written again may have another slash at its end.
    pub issuer: String,
    pub audience: String,
}

/// Why a function does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{variable} is not set: put {wanted} there (the template does)")]
    Missing { variable: &'static str, wanted: &'static str },
    /// The value itself is not repeated: it might be a secret that went into the wrong variable.
    #[error("{variable} can't be read: it wants {wanted}")]
    Unreadable { variable: &'static str, wanted: &'static str },
}

impl Config {
    /// Where private links are served.
    ///
    /// # Errors
    /// For a function that tells nobody.
    pub fn links_base(&self) -> Result<Url, ConfigError> {
        self.links_base.clone().ok_or(ConfigError::Missing { variable: LINKS_BASE, wanted: LINKS_BASE_WANTED })
    }

    /// # Errors
    /// The first variable that is missing or can't be read.
    pub fn from_env(function: Function) -> Result<Self, ConfigError> {
        Self::read(function, |name| std::env::var(name).ok())
    }

    /// The same from any place that knows names and values.
    ///
    /// # Errors
    /// The first variable that is missing or can't be read.
    pub fn read(function: Function, get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variables = Variables { get };
        let needed = |wanted: bool, variable, what| match wanted {
            true => variables.required(variable, what).map(Some),
            false => Ok(None),
        };
        let objects = function.keeps_objects();
        Ok(Self {
            table: variables.required("CALMESH_TABLE", "the name of the DynamoDB table")?,
            exports_bucket: needed(objects, "CALMESH_EXPORTS_BUCKET", "the name of the S3 bucket of exports")?
                .unwrap_or_default(),
            snapshots_bucket: needed(objects, "CALMESH_SNAPSHOTS_BUCKET", "the name of the S3 bucket of snapshots")?
                .unwrap_or_default(),
            access_log_bucket: needed(
                function.takes_logs(),
                "CALMESH_ACCESS_LOG_BUCKET",
                "the name of the S3 bucket of CloudFront's logs",
            )?,
            bus: variables.required("CALMESH_BUS", "the name of the EventBridge bus")?,
            links_base: links_base(function, &variables)?,
            contact: contact(&variables)?,
            stack_id: variables.required("CALMESH_STACK_ID", "the id of the stack")?,
            refused_providers: refused_providers(&variables)?,
            sweep_period: period(&variables)?,
            shards: shards(&variables)?,
            private_feeds: variables.flag("CALMESH_ALLOW_PRIVATE_FEEDS")?,
            deployment_secret: needed(
                function.reads_deployment_secret(),
                "CALMESH_DEPLOYMENT_SECRET",
                "the ARN of the deployment's secret in Secrets Manager",
            )?,
            operator_key: needed(
                function.reads_operator_key(),
                "CALMESH_OPERATOR_KEY",
                "the ARN of the operator's key in Secrets Manager",
            )?,
            kms_key: needed(function.seals(), "CALMESH_KMS_KEY", "the ARN of the KMS key")?,
            oidc: oidc(&variables)?,
            cors_origins: variables.list("CALMESH_CORS_ORIGINS"),
            concurrency: variables.or("CALMESH_CONCURRENCY", "a number from 1", 8_usize)?.max(1),
        })
    }
}

fn contact(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Url, ConfigError> {
    const VARIABLE: &str = "CALMESH_CONTACT_URL";
    const WANTED: &str = "the https address of a page that says who reads feeds";
    let wrong = || ConfigError::Unreadable { variable: VARIABLE, wanted: WANTED };
    let text = variables.text(VARIABLE).unwrap_or_else(|| CONTACT_URL.to_owned());
    text.parse().ok().filter(|url: &Url| url.scheme() == "https").ok_or_else(wrong)
}

fn period(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<SignedDuration, ConfigError> {
    const VARIABLE: &str = "CALMESH_SWEEP_EVERY";
    const WANTED: &str = "a period of a minute or more, such as 15m or 1h";
    let period = variables.or(VARIABLE, WANTED, SignedDuration::from_mins(15))?;
    // The tick comes once a minute, so nothing shorter can be kept.
    (period >= SignedDuration::from_mins(1))
        .then_some(period)
        .ok_or(ConfigError::Unreadable { variable: VARIABLE, wanted: WANTED })
}

const LINKS_BASE: &str = "CALMESH_LINKS_BASE";
const LINKS_BASE_WANTED: &str = "the address of the CloudFront distribution, such as https://d111.cloudfront.net";

fn links_base(
    function: Function,
    variables: &Variables<impl Fn(&str) -> Option<String>>,
) -> Result<Option<Url>, ConfigError> {
    function.tells_links().then(|| variables.parsed(LINKS_BASE, LINKS_BASE_WANTED)).transpose()
}

fn refused_providers(
    variables: &Variables<impl Fn(&str) -> Option<String>>,
) -> Result<BTreeSet<ProviderId>, ConfigError> {
    const VARIABLE: &str = "CALMESH_REFUSE_PROVIDERS";
    const WANTED: &str = "ids of providers by commas, such as airbnb,vrbo";
    let ids = variables.list(VARIABLE);
    let known: Result<_, _> = ids.iter().map(|id| id.parse::<ProviderId>()).collect();
    known.map_err(|_| ConfigError::Unreadable { variable: VARIABLE, wanted: WANTED })
}

fn shards(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<u16, ConfigError> {
    const VARIABLE: &str = "CALMESH_SHARDS";
    const WANTED: &str = "a power of two from 1 to 4096";
    let shards = variables.or(VARIABLE, WANTED, 64_u16)?;
    (shards.is_power_of_two() && shards <= 4096)
        .then_some(shards)
        .ok_or(ConfigError::Unreadable { variable: VARIABLE, wanted: WANTED })
}

fn oidc(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Option<Oidc>, ConfigError> {
    if variables.text("CALMESH_OIDC_ISSUER").is_none() {
        return Ok(None);
    }
    Ok(Some(Oidc {
        issuer: variables.required("CALMESH_OIDC_ISSUER", "the issuer's address, such as https://id.example.com")?,
        audience: variables.required("CALMESH_OIDC_AUDIENCE", "the audience that the issuer's tokens name")?,
    }))
}

struct Variables<F> {
    get: F,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// The trimmed value; a blank one counts as not set, since templates write unset parameters so.
    fn text(&self, variable: &str) -> Option<String> {
        (self.get)(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    fn required(&self, variable: &'static str, wanted: &'static str) -> Result<String, ConfigError> {
        self.text(variable).ok_or(ConfigError::Missing { variable, wanted })
    }

    fn parsed<T: FromStr>(&self, variable: &'static str, wanted: &'static str) -> Result<T, ConfigError> {
        self.required(variable, wanted)?.parse().map_err(|_| ConfigError::Unreadable { variable, wanted })
    }

    fn or<T: FromStr>(&self, variable: &'static str, wanted: &'static str, default: T) -> Result<T, ConfigError> {
        match self.text(variable) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| ConfigError::Unreadable { variable, wanted }),
        }
    }

    fn flag(&self, variable: &'static str) -> Result<bool, ConfigError> {
        match self.text(variable).as_deref() {
            None | Some("false" | "0" | "no") => Ok(false),
            Some("true" | "1" | "yes") => Ok(true),
            Some(_) => Err(ConfigError::Unreadable { variable, wanted: "true or false" }),
        }
    }

    fn list(&self, variable: &str) -> Vec<String> {
        let text = self.text(variable).unwrap_or_default();
        text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

impl<F> fmt::Debug for Variables<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn complete() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("CALMESH_TABLE", "calmesh"),
            ("CALMESH_EXPORTS_BUCKET", "calmesh-exports"),
            ("CALMESH_SNAPSHOTS_BUCKET", "calmesh-snapshots"),
            ("CALMESH_BUS", "calmesh"),
            ("CALMESH_LINKS_BASE", "https://d111.cloudfront.net"),
            ("CALMESH_STACK_ID", "arn:aws:cloudformation:eu-west-1:1:stack/calmesh/1"),
            ("CALMESH_DEPLOYMENT_SECRET", "arn:aws:secretsmanager:eu-west-1:1:secret:deployment"),
            ("CALMESH_OPERATOR_KEY", "arn:aws:secretsmanager:eu-west-1:1:secret:operator"),
            ("CALMESH_KMS_KEY", "arn:aws:kms:eu-west-1:1:key/1"),
        ])
    }

    fn read(function: Function, variables: &HashMap<&'static str, &'static str>) -> Result<Config, ConfigError> {
        Config::read(function, |name| variables.get(name).map(|&value| value.to_owned()))
    }

    #[test]
    fn what_is_not_said_follows_the_defaults() {
        let config = read(Function::Api, &complete()).unwrap();
        assert_eq!(config.shards, 64);
        assert_eq!(config.sweep_period, SignedDuration::from_mins(15));
        assert!(!config.private_feeds);
        assert!(config.refused_providers.is_empty() && config.oidc.is_none() && config.cors_origins.is_empty());
    }

    #[test]
    fn a_missing_variable_is_named_with_what_to_put_there() {
        let mut variables = complete();
        variables.remove("CALMESH_TABLE");
        let error = read(Function::Fetch, &variables).unwrap_err();
        assert_eq!(
            error.to_string(),
            "CALMESH_TABLE is not set: put the name of the DynamoDB table there (the template does)"
        );
    }

    #[test]
    fn a_blank_variable_counts_as_not_set() {
        let mut variables = complete();
        variables.insert("CALMESH_OIDC_ISSUER", " ");
        assert!(read(Function::Api, &variables).unwrap().oidc.is_none());
    }

    #[test]
    fn an_unreadable_value_is_not_repeated() {
        let mut variables = complete();
        for (name, value) in [
            ("CALMESH_REFUSE_PROVIDERS", "airbnb,nobody"),
            ("CALMESH_SHARDS", "48"),
            ("CALMESH_SWEEP_EVERY", "5s"),
            ("CALMESH_ALLOW_PRIVATE_FEEDS", "maybe"),
            ("CALMESH_LINKS_BASE", "hunter2"),
            ("CALMESH_CONTACT_URL", "http://calmesh.example/"),
        ] {
            let before = variables.insert(name, value);
            let error = read(Function::Api, &variables).unwrap_err();
            assert!(matches!(error, ConfigError::Unreadable { variable, .. } if variable == name), "{error}");
            assert!(!error.to_string().contains(value));
            match before {
                Some(value) => variables.insert(name, value),
                None => variables.remove(name),
            };
        }
    }

    #[test]
    fn a_function_is_asked_only_for_what_it_uses() {
        let mut variables = complete();
        for name in [
            "CALMESH_EXPORTS_BUCKET",
            "CALMESH_SNAPSHOTS_BUCKET",
            "CALMESH_DEPLOYMENT_SECRET",
            "CALMESH_LINKS_BASE",
            "CALMESH_OPERATOR_KEY",
            "CALMESH_KMS_KEY",
        ] {
            variables.remove(name);
        }
        assert!(read(Function::Schedule, &variables).is_ok());
        assert!(read(Function::Merge, &variables).is_err());
        assert!(read(Function::Access, &variables).is_err());
        variables.insert("CALMESH_ACCESS_LOG_BUCKET", "calmesh-access-log");
        assert!(read(Function::Access, &variables).is_ok());
        let mut variables = complete();
        variables.remove("CALMESH_LINKS_BASE");
        for function in [Function::Schedule, Function::Fetch, Function::Merge] {
            assert!(read(function, &variables).is_ok(), "{function:?} tells nobody the address of a link");
        }
        let missing = read(Function::Api, &variables).unwrap_err();
        assert!(matches!(missing, ConfigError::Missing { variable: "CALMESH_LINKS_BASE", .. }), "{missing}");
    }

    #[test]
    fn an_issuer_needs_an_audience() {
        let mut variables = complete();
        variables.insert("CALMESH_OIDC_ISSUER", "https://id.example.com");
        assert!(matches!(
            read(Function::Api, &variables),
            Err(ConfigError::Missing { variable: "CALMESH_OIDC_AUDIENCE", .. })
        ));
    }
}
