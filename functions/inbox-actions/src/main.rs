//! Wiring only: dependencies once, then the handler for each call.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use comms_core::platform::telemetry;
use inbox_actions::{Deps, handle};
use lambda_http::{Error, Request, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(async move |request: Request| {
        Ok::<_, Error>(handle(deps, request).await)
    }))
    .await
}
