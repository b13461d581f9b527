//! Wiring only: dependencies once, then the handler for each call.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use comms_core::platform::telemetry;
use lambda_http::{Error, Request, run_concurrent, service_fn};
use meta_webhook::{Deps, handle};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = Arc::new(Deps::from_env()?);
    deps.prepare().await;
    // One at a time, or as many as AWS_LAMBDA_MAX_CONCURRENCY says.
    run_concurrent(service_fn(move |request: Request| {
        let deps = Arc::clone(&deps);
        async move { Ok::<_, Error>(handle(&deps, request).await) }
    }))
    .await
}
