//! What time and memory cost: of this thread, of a process, of the commands that were run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `_SC_CLK_TCK` of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Time on a CPU of this thread: the first figure, in nanoseconds, of Linux's scheduler statistics.
pub fn of_thread() -> Duration {
    // Without this the figure is as old as the scheduler's last look at the thread, some milliseconds.
    std::thread::yield_now();
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    let nanoseconds = statistics.split(' ').next().and_then(|figure| figure.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds"))
}

/// What `work` says, and the seconds of CPU that it took on this thread.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let begin = of_thread();
    let result = work();
    (result, (of_thread() - begin).as_secs_f64())
}

/// User and system time of a process, all its threads, in seconds.
pub fn of_process(pid: u32) -> f64 {
    // utime and stime are fields 14 and 15 of proc(5).
    ticks(&pid.to_string(), [14, 15])
}

/// The same of all commands that this process ran to their end.
pub fn of_commands() -> f64 {
    // cutime and cstime.
    ticks("self", [16, 17])
}

fn ticks(process: &str, fields: [usize; 2]) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    let (_, rest) = stat.rsplit_once(") ").expect("a line of proc(5)");
    // Behind the name comes field 3.
    let field = |number: usize| rest.split(' ').nth(number - 3).and_then(|text| text.parse::<f64>().ok());
    fields.into_iter().map(|number| field(number).expect("a number")).sum::<f64>() / TICKS_PER_SECOND
}

/// Microseconds since 1970, as MySQL and ClickHouse tell them.
pub fn now_us() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs_f64() * 1e6
}
