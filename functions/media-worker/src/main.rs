//! Wiring only: dependencies once, then the handler for each batch.

// The runtime's, the SDK's and our futures nest deeper than the compiler looks by default.
#![recursion_limit = "256"]

use aws_lambda_events::sqs::SqsEvent;
use comms_core::platform::telemetry;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use media_worker::{handle, worker_from_env};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    telemetry::init_from_env();
    let worker = &worker_from_env()?;
    run(service_fn(async move |event: LambdaEvent<SqsEvent>| {
        Ok::<_, Error>(handle(worker, event.payload).await)
    }))
    .await
}
