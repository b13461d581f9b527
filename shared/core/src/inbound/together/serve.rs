//! What a transaction takes out of a line, and what each of those who stood there is told.

use super::{Answer, Call, IN_LINE, LOST, Taken, here, is_report};
use crate::inbound::known::{Doors, Entrance};
use crate::inbound::pending::Pending;
use crate::inbound::whatsapp::{self, SOURCE};
use crate::inbound::{InboundError, Ingested};
use crate::platform::Database;
use comms_providers::event::ProviderEvent;
use std::sync::Arc;
use tokio::{sync::oneshot, time::timeout};

/// One transaction for all of them, if it can be, and an answer for everybody.
pub(super) async fn serve(database: &Database, calls: Vec<Call>) {
    let mut doors = Doors::default();
    let (calls, others): (Vec<Call>, Vec<Call>) = calls
        .into_iter()
        .partition(|call| doors.note(call.door, &call.events));
    go_alone(others.into_iter().map(|call| call.answer));
    serve_together(database, &doors, calls).await;
}

/// Those whose doors do not stand in each other's way.
async fn serve_together(database: &Database, doors: &Doors, calls: Vec<Call>) {
    match <[Call; 1]>::try_from(calls) {
        Ok([call]) => serve_one(database, call).await,
        Err(calls) => {
            let others = serve_texts(database, doors, calls).await;
            match <[Call; 1]>::try_from(others) {
                Ok([call]) => serve_one(database, call).await,
                Err(others) => serve_many(database, doors, others).await,
            }
        }
    }
}

async fn serve_one(database: &Database, call: Call) {
    let entrance = Entrance::one(call.door).waiting(IN_LINE);
    let work = Box::pin(whatsapp::in_one(database, entrance, call.events));
    let answer = match in_time(work).await {
        Err(InboundError::Database(error)) if error.is_lock_timeout() => Answer::Alone,
        taken => Answer::Taken(here(taken)),
    };
    // Whoever has gone away meanwhile needs no answer: the provider asks again.
    let _ = call.answer.send(answer);
}

/// Texts of people who are known are stored first, and whoever brought one is told so: the rest takes more of the database. Returns whoever is
/// no such.
async fn serve_texts(database: &Database, doors: &Doors, calls: Vec<Call>) -> Vec<Call> {
    let entrance = Entrance::several(doors).waiting(IN_LINE);
    let payloads = calls.iter().map(|call| call.events.as_slice());
    let stored = in_time(Box::pin(whatsapp::texts(database, entrance, payloads))).await;
    let calls = calls.into_iter();
    match stored {
        Ok(stored) => {
            let (texts, others): (Vec<_>, Vec<_>) = calls
                .enumerate()
                .partition(|(place, _)| stored.contains(place));
            let ingested = Ingested {
                messages: texts.len(),
                ..Ingested::default()
            };
            let answers = texts.into_iter().map(|(_, call)| call.answer).collect();
            tell(answers, stored.len(), ingested);
            others.into_iter().map(|(_, call)| call).collect()
        }
        Err(error) => {
            tell_error(calls.map(|call| call.answer).collect(), error);
            Vec::new()
        }
    }
}

async fn serve_many(database: &Database, doors: &Doors, calls: Vec<Call>) {
    let requests = calls.len();
    if requests == 0 {
        return;
    }
    let mut events = Vec::with_capacity(requests);
    let mut answers = Vec::with_capacity(requests);
    for call in calls {
        events.extend(call.events);
        answers.push(call.answer);
    }
    match in_time(Box::pin(shared(database, doors, events))).await {
        Ok(Some(ingested)) => tell(answers, requests, ingested),
        Ok(None) => go_alone(answers),
        Err(error) => tell_error(answers, error),
    }
}

fn tell_error(answers: Vec<oneshot::Sender<Answer>>, error: InboundError) {
    match error {
        // Refused: nothing was committed, and whose fault it is, each finds out for itself.
        InboundError::Database(error) if error.is_refusal() => {
            tracing::warn!(%error, requests = answers.len(), "requests that shared a transaction go on alone");
            go_alone(answers);
        }
        error => {
            let error = Arc::new(error);
            for answer in answers {
                let error = InboundError::Shared(Arc::clone(&error));
                let _ = answer.send(Answer::Taken(Err(error)));
            }
        }
    }
}

/// Given up, its connection is closed; what became of it nobody knows, and it may come again.
async fn in_time<T>(
    work: impl Future<Output = Result<T, InboundError>>,
) -> Result<T, InboundError> {
    timeout(LOST, work).await.unwrap_or(Err(InboundError::Lost))
}

/// `None`, with nothing written: something of it belongs in quarantine.
async fn shared(
    database: &Database,
    doors: &Doors,
    events: Vec<ProviderEvent>,
) -> Result<Option<Ingested>, InboundError> {
    let entrance = Entrance::several(doors).waiting(IN_LINE);
    if events.iter().all(is_report) {
        return whatsapp::statuses(database, entrance, &events).await;
    }
    let pending = Pending::of(database, SOURCE, entrance, events).await?;
    if pending.misfits.is_empty() {
        return Ok(Some(pending.commit(SOURCE.name, entrance.door()).await?));
    }
    pending.tx.rollback().await?;
    Ok(None)
}

/// The first who still listens has what all came to, and announces the files.
fn tell(answers: Vec<oneshot::Sender<Answer>>, requests: usize, ingested: Ingested) {
    let mut all = Some(Taken::Here { requests, ingested });
    for answer in answers {
        let taken = all.take().unwrap_or(Taken::Elsewhere);
        if let Err(Answer::Taken(Ok(unheard @ Taken::Here { .. }))) =
            answer.send(Answer::Taken(Ok(taken)))
        {
            all = Some(unheard);
        }
    }
}

fn go_alone(answers: impl IntoIterator<Item = oneshot::Sender<Answer>>) {
    for answer in answers {
        let _ = answer.send(Answer::Alone);
    }
}
