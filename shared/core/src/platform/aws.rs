//! AWS clients from one configuration, made on first use.
//!
//! `AWS_ENDPOINT_URL` is honoured by the SDK itself, so the local emulator needs no branch here.

use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// A handle to the one SDK configuration; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Aws(Arc<OnceCell<Clients>>);

#[derive(Debug)]
struct Clients {
    config: SdkConfig,
    kms: aws_sdk_kms::Client,
    s3: aws_sdk_s3::Client,
    secrets_manager: aws_sdk_secretsmanager::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Aws {
    /// For clients that are made elsewhere: region, credentials, endpoint.
    pub async fn config(&self) -> &SdkConfig {
        &self.clients().await.config
    }

    pub async fn kms(&self) -> &aws_sdk_kms::Client {
        &self.clients().await.kms
    }

    pub async fn s3(&self) -> &aws_sdk_s3::Client {
        &self.clients().await.s3
    }

    pub async fn secrets_manager(&self) -> &aws_sdk_secretsmanager::Client {
        &self.clients().await.secrets_manager
    }

    pub async fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.clients().await.sqs
    }

    async fn clients(&self) -> &Clients {
        self.0.get_or_init(async || Clients::of(load().await)).await
    }
}

/// For whoever does not leave it to the environment.
impl From<SdkConfig> for Aws {
    fn from(config: SdkConfig) -> Self {
        Self(Arc::new(OnceCell::new_with(Some(Clients::of(config)))))
    }
}

impl Clients {
    fn of(config: SdkConfig) -> Self {
        Self {
            kms: aws_sdk_kms::Client::new(&config),
            s3: s3(&config),
            secrets_manager: aws_sdk_secretsmanager::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            config,
        }
    }
}

/// Files take longer than calls. Writing one is safe to repeat: its key is its own.
fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_secs(30))
        .build();
    let config = aws_sdk_s3::config::Builder::from(config)
        .timeout_config(timeouts)
        // Whoever names an endpoint need not resolve a bucket's name as a host below it.
        .force_path_style(config.endpoint_url().is_some())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// Retries of these services are the SDK's (all their calls are safe to repeat); the time for all of them
/// together stays well below the shortest function timeout.
async fn load() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(4))
        .operation_timeout(Duration::from_secs(10))
        .build();
    aws_config::defaults(BehaviorVersion::v2026_01_12())
        .timeout_config(timeouts)
        .load()
        .await
}
