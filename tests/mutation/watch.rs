//! What one input may cost: peak memory, measured; time, watched from beside.
//!
//! Memory is what Rust allocates: a peak above the bound is a finding even if it was freed at once. What zstd's C code
//! allocates is not seen here, but in the resident peak of the whole process, which the campaign looks at when it ends.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait};

#[global_allocator]
static MEMORY: PeakMemAlloc<System> = PeakMemAlloc::system();

/// Runs `work`; its result, and by how many bytes at most all allocations rose above where they stood before.
/// The process's own: whatever other threads allocate meanwhile counts too.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, usize) {
    MEMORY.reset_peak_memory();
    let result = work();
    (result, MEMORY.get_peak_memory())
}

/// The most memory that the process has ever had resident, in bytes; 0 where the system does not tell.
pub fn resident_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap_or_default();
    kib << 10
}

/// No input.
const NOTHING: u64 = u64::MAX;

/// A thread that looks how long each input takes.
#[derive(Debug)]
pub struct Watch {
    current: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Calls `hangs` with the number of an input that takes longer than `limit`.
    pub fn start(limit: Duration, hangs: impl Fn(u64) + Send + 'static) -> Self {
        let (current, is_over) = (Arc::new(AtomicU64::new(NOTHING)), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (Arc::clone(&current), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let (mut last, mut since) = (NOTHING, Instant::now());
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(limit / 20);
                let now = seen.load(Ordering::Relaxed);
                if now == NOTHING || now != last {
                    (last, since) = (now, Instant::now());
                } else if since.elapsed() > limit {
                    hangs(now);
                }
            }
        });
        Self { current, is_over, thread: Some(thread) }
    }

    /// Input `number` begins.
    pub fn begins(&self, number: u64) {
        self.current.store(number, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.current.store(NOTHING, Ordering::Relaxed);
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
