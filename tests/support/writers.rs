//! Writers that never rest, over the whole range of the keys of a table `big (id, n, name, price)`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use mysql::prelude::Queryable;

use super::fixture::Fixture;
use super::load::Random;

/// Writers that never rest: inserts, updates, changed keys, and deletions if asked for.
pub struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

impl Writers {
    /// Starts them.
    pub fn start(test: &Fixture, keys: u64, deletes: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..2).map(|seed| {
            let (mut connection, stop) = (test.connect(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let (mut random, mut done) = (Random::new(seed), 0);
                while !stop.load(Ordering::Relaxed) {
                    let (id, other) = (random.below(keys), random.below(keys));
                    let statement = match random.below(4) {
                        0 if deletes => format!("DELETE FROM big WHERE id BETWEEN {id} AND {id} + 3"),
                        1 => format!("UPDATE IGNORE big SET id = {other}, name = 'moved' WHERE id = {id}"),
                        2 => format!("REPLACE INTO big (id, n, name, price) VALUES ({id}, {other}, 'replaced', 1.5)"),
                        _ => format!(
                            "UPDATE big SET n = n + 1, name = CONCAT('n', n) WHERE id BETWEEN {id} AND {id} + 9"
                        ),
                    };
                    // Two of them may lock each other out.
                    done += u64::from(connection.query_drop(statement).is_ok());
                }
                done
            })
        });
        Self { threads: threads.collect(), stop }
    }

    /// Stops them, and makes sure that they wrote.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let done: u64 = self.threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(done > 20, "only {done} statements succeeded");
    }
}
