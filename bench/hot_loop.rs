//! The decoder alone, in memory: rows per second of the hot loop, with the checksum of every event as on the way from
//! a server, beside the copy of the same bytes that nothing can beat. The shapes are those of the recorded workloads:
//! `narrow` (bigint, int, int, varchar, decimal, datetime; INSERT) and `sysbench` (int, int, char, char; UPDATE).
//! Reading events from a file is measured by `bench/run`.

#![allow(clippy::expect_used, clippy::cast_possible_truncation, reason = "a benchmark of made-up rows may fail loudly")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stream_bridge::position::Version;
use stream_bridge::rowbinary::{Body, ChunkPool};
use stream_bridge::schema::mapping::{TargetFeatures, target_type};
use stream_bridge::schema::target::TargetColumn;
use stream_bridge::schema::types::{Charset, SourceColumn, SourceType};
use stream_bridge::transcode::{Limits, RowPlan, RowsCursor, RowsKind, Stride};

/// MySQL's default `binlog_row_event_max_size`.
const EVENT_BYTES: usize = 8 << 10;
const EVENTS: usize = 2000;
/// Bodies are used again at this size, so that output stays in the cache.
const LIMITS: Limits = Limits { rows: usize::MAX, bytes: 256 << 10 };

struct Workload {
    plan: RowPlan,
    kind: RowsKind,
    events: Vec<Vec<u8>>,
    rows: u64,
}

impl Workload {
    fn new(types: Vec<SourceType>, kind: RowsKind, mut images: impl FnMut(u64) -> Vec<u8>) -> Self {
        let mut events = Vec::new();
        let mut rows = 0;
        for _ in 0..EVENTS {
            let mut event = Vec::new();
            while event.len() < EVENT_BYTES {
                event.extend(images(rows));
                rows += 1;
            }
            events.push(event);
        }
        Self { plan: plan(types), kind, events, rows }
    }

    fn decode(&self, pool: &mut ChunkPool) -> usize {
        let mut body = Body::default();
        let mut bytes = 0;
        for event in &self.events {
            black_box(crc32fast::hash(event));
            let mut rows = RowsCursor::plain(self.kind, event, Version(4), Stride::Bytes);
            while !rows.rest.is_empty() {
                self.plan.append_rows(&mut rows, &mut body, pool, LIMITS).expect("the rows are well formed");
                if body.bytes() >= LIMITS.bytes {
                    bytes += body.bytes();
                    pool.recycle(std::mem::take(&mut body));
                }
            }
        }
        bytes += body.bytes();
        pool.recycle(body);
        bytes
    }

    fn copy(&self, buffer: &mut Vec<u8>) -> usize {
        for event in &self.events {
            buffer.clear();
            buffer.extend_from_slice(event);
            black_box(&buffer);
        }
        buffer.len()
    }
}

fn plan(types: Vec<SourceType>) -> RowPlan {
    let features = TargetFeatures { time64: true };
    let column = |(index, ty)| SourceColumn { name: format!("c{index}"), ty, nullable: index > 0 };
    let source: Vec<SourceColumn> = types.into_iter().enumerate().map(column).collect();
    let target = |(index, column): (usize, &SourceColumn)| {
        let ty = target_type(column, index == 0, false, features).expect("the type is supported");
        TargetColumn { name: column.name.clone(), ty }
    };
    let mut target: Vec<TargetColumn> = source.iter().enumerate().map(target).collect();
    for (name, ty) in [("_version", "UInt64"), ("_is_deleted", "UInt8")] {
        target.push(TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
    }
    RowPlan::compile(&source, &[0], &target).expect("the default types fit")
}

fn int(bytes: u8) -> SourceType {
    SourceType::Int { bytes, unsigned: false }
}

fn narrow() -> Workload {
    let varchar = SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 };
    let decimal = SourceType::Decimal { precision: 10, scale: 2 };
    let types = vec![int(8), int(4), int(4), varchar, decimal, SourceType::DateTime { fsp: 0 }];
    Workload::new(types, RowsKind::Write, |row| {
        let name = format!("name-{}", row % 100_000);
        let mut image = vec![0];
        image.extend(row.to_le_bytes());
        image.extend(&row.to_be_bytes()[4..]);
        image.extend(&row.to_le_bytes()[..4]);
        image.push(u8::try_from(name.len()).expect("short"));
        image.extend(name.as_bytes());
        image.extend([0x80, 0, row.to_le_bytes()[0], row.to_le_bytes()[1], (row % 100) as u8]);
        image.extend(&datetime(2020 + row % 10, row % 3600).to_be_bytes()[3..]);
        image
    })
}

/// The 25th of November at noon and some seconds, packed as MySQL does.
fn datetime(year: u64, seconds: u64) -> u64 {
    1 << 39 | ((year * 13 + 11) << 5 | 25) << 17 | 12 << 12 | (seconds / 60) << 6 | (seconds % 60)
}

fn sysbench() -> Workload {
    let char = |max_bytes| SourceType::Char { max_bytes, charset: Charset::Utf8 };
    Workload::new(vec![int(4), int(4), char(480), char(240)], RowsKind::Update, |row| {
        let image = |c: u8| {
            let mut image = vec![0];
            image.extend(&row.to_le_bytes()[..4]);
            image.extend(&row.to_be_bytes()[4..]);
            image.extend([119, 0]);
            image.extend([c; 119]);
            image.push(59);
            image.extend([b'p'; 59]);
            image
        };
        [image(b'a'), image(b'b')].concat()
    })
}

/// The time on a CPU, not on the clock: other jobs on the machine do not count.
fn cpu_time_of(count: u64, mut run: impl FnMut() -> usize) -> Duration {
    let start = thread_cpu_time();
    for _ in 0..count {
        black_box(run());
    }
    thread_cpu_time() - start
}

/// The first figure of the scheduler's statistics: nanoseconds on a CPU.
fn thread_cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with scheduler statistics");
    let nanoseconds = statistics.split(' ').next().and_then(|figure| figure.parse().ok());
    Duration::from_nanos(nanoseconds.expect("nanoseconds"))
}

fn decode(criterion: &mut Criterion) {
    for (name, workload) in [("narrow", narrow()), ("sysbench", sysbench())] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(workload.rows));
        group.measurement_time(Duration::from_secs(4)).sample_size(20);
        let mut pool = ChunkPool::default();
        group.bench_function("decode", |bencher| {
            bencher.iter_custom(|count| cpu_time_of(count, || workload.decode(&mut pool)))
        });
        let mut buffer = Vec::new();
        group.bench_function("copy", |bencher| {
            bencher.iter_custom(|count| cpu_time_of(count, || workload.copy(&mut buffer)))
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
