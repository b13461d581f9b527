//! The queues of a stack: what a function publishes is visible after its delay, and taken by whichever sandbox asks first.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::http::{Answer, Request};
use crate::stubs;

/// Bodies by when they are to be seen; those of the same instant in their order.
type Line = BTreeMap<(Instant, usize), String>;

#[derive(Clone, Default)]
pub struct Queues(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    lines: HashMap<String, Line>,
    published: usize,
}

impl Queues {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn publish(&self, queue: &str, body: String, delay: Duration) {
        let mut state = self.lock();
        state.published += 1;
        let place = (Instant::now() + delay, state.published);
        let line = state.lines.entry(queue.to_owned()).or_default();
        line.insert(place, body);
        self.0.moved.notify_all();
    }

    /// Up to `most` that are visible, as soon as there is one.
    pub fn take(&self, queue: &str, most: usize) -> Vec<String> {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let line = state.lines.entry(queue.to_owned()).or_default();
            let mut taken = Vec::new();
            while taken.len() < most
                && let Some(first) = line.first_entry()
                && first.key().0 <= now
            {
                taken.push(first.remove());
            }
            if !taken.is_empty() {
                return taken;
            }
            let wait = line
                .first_key_value()
                .map_or(Duration::from_secs(1), |((at, _), _)| *at - now);
            state = self
                .0
                .moved
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// AWS as the functions see it: SQS is these queues, the rest is as everywhere.
    pub fn aws(&self, request: &Request) -> Answer {
        if request.target.ends_with(".SendMessageBatch") {
            let call: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let queue = call["QueueUrl"].as_str().unwrap_or_default();
            let name = queue.rsplit('/').next().unwrap_or_default();
            for entry in call["Entries"].as_array().into_iter().flatten() {
                let delay = Duration::from_secs(entry["DelaySeconds"].as_u64().unwrap_or_default());
                let body = entry["MessageBody"].as_str().unwrap_or_default();
                self.publish(name, body.to_owned(), delay);
            }
        }
        stubs::aws(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_delayed_comes_after_what_is_not() {
        let queues = Queues::default();
        let sends = |body: &str, delay: u64| {
            queues.publish("bulk", body.to_owned(), Duration::from_millis(delay));
        };
        sends("later", 30);
        sends("first", 0);
        sends("second", 0);
        assert_eq!(queues.take("bulk", 10), ["first", "second"]);
        assert_eq!(queues.take("bulk", 10), ["later"]);
    }
}
