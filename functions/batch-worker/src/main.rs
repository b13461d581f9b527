//! Wiring only: dependencies once, then the handler for each batch.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use aws_lambda_events::sqs::SqsEvent;
use batch_worker::{Deps, handle};
use comms_core::platform::telemetry;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let deps = &Deps::from_env()?;
    run(service_fn(async move |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(handle(deps, event.payload).await)
    }))
    .await
}
