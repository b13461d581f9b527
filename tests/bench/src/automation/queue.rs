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
    dismissed: usize,
}

/// Whoever takes from one queue, until all readers are dismissed: a sandbox that is gone must not take what its successor is due.
pub struct Reader {
    queues: Queues,
    queue: String,
    most: usize,
    since: usize,
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

    /// Takes up to `most` at once.
    pub fn reader(&self, queue: &str, most: usize) -> Reader {
        Reader {
            queues: self.clone(),
            queue: queue.to_owned(),
            most,
            since: self.lock().dismissed,
        }
    }

    /// Forgets what nobody has taken.
    pub fn clear(&self) {
        self.lock().lines.clear();
    }

    pub fn dismiss_readers(&self) {
        self.lock().dismissed += 1;
        self.0.moved.notify_all();
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

impl Reader {
    /// What is visible, as soon as there is something; none once it is dismissed.
    pub fn next(&self) -> Option<Vec<String>> {
        let mut state = self.queues.lock();
        while state.dismissed == self.since {
            let now = Instant::now();
            let line = state.lines.entry(self.queue.clone()).or_default();
            let mut taken = Vec::new();
            while taken.len() < self.most
                && let Some(first) = line.first_entry()
                && first.key().0 <= now
            {
                taken.push(first.remove());
            }
            if !taken.is_empty() {
                return Some(taken);
            }
            let wait = line
                .first_key_value()
                .map_or(Duration::from_secs(1), |((at, _), _)| *at - now);
            let waited = self.queues.0.moved.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        None
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
        let reader = queues.reader("bulk", 10);
        assert_eq!(reader.next().unwrap(), ["first", "second"]);
        assert_eq!(reader.next().unwrap(), ["later"]);
        queues.dismiss_readers();
        sends("for the next reader", 0);
        assert_eq!(reader.next(), None);
    }
}
