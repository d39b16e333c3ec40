//! `/metrics`: the picture behind `/status` in Prometheus' text format.
//!
//! Pure: names, units and types are here, the format is the library's. Labels are bounded, whatever a source holds: of
//! tables at most [`TABLES_MAX`] are told one by one, those that need attention first, and how many there are in each
//! state is told of all.
//! <https://prometheus.io/docs/practices/naming/>

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::metrics::bad_values::BadValue;
use crate::metrics::{Picture, TablePicture};

/// So many tables have samples of their own.
const TABLES_MAX: usize = 500;

/// A sample's labels and value. Values are exact up to 2^53.
type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

/// The whole answer.
///
/// # Errors
/// None that is known: the library's, for names that it does not take.
pub fn text(picture: &Picture) -> prometheus::Result<String> {
    let mut families = whole(picture);
    families.extend(by_table(picture));
    families.retain(|family| !family.get_metric().is_empty());
    TextEncoder::new().encode_to_string(&families)
}

fn whole(picture: &Picture) -> Vec<MetricFamily> {
    let (counter, gauge) = (MetricType::COUNTER, MetricType::GAUGE);
    let one = |value: f64| vec![(Vec::new(), value)];
    let count = |value: u64| one(value as f64);
    let (checkpoint, retention) = (&picture.checkpoint, picture.retention.as_ref());
    let retries = picture.retries.iter().map(|(code, &count)| (vec![("code", code.as_str())], count as f64));
    vec![
        family(
            "state",
            "1 for the state that the pipeline is in.",
            gauge,
            vec![(vec![("state", &picture.state)], 1.0)],
        ),
        family(
            "lag_seconds",
            "Now minus the commit time of the newest transaction whose rows are all acked.",
            gauge,
            one(picture.lag_seconds),
        ),
        family("rows_total", "Rows acked by ClickHouse.", counter, count(picture.rows_total)),
        family("bytes_total", "RowBinary bytes acked by ClickHouse.", counter, count(picture.bytes_total)),
        family("batches_outstanding", "Batches open, waiting or in flight.", gauge, count(picture.batches_outstanding)),
        family("memory_bytes", "Bytes held by chunks and bodies.", gauge, count(picture.memory_bytes)),
        family("memory_limit_bytes", "pipeline.memory_limit.", gauge, count(picture.memory_limit_bytes)),
        family("checkpoint_seq", "Number of the last saved checkpoint.", gauge, count(checkpoint.seq)),
        family(
            "checkpoint_age_seconds",
            "Since the last checkpoint was saved.",
            gauge,
            checkpoint.age_seconds.into_iter().flat_map(one).collect(),
        ),
        family(
            "retention_seconds_left",
            "How long the source keeps what a restart needs, at the least; absent when it purges nothing by itself.",
            gauge,
            retention.and_then(|retention| retention.seconds_left).into_iter().flat_map(one).collect(),
        ),
        family(
            "retention_bytes_behind",
            "Bytes of the binary log from what a restart needs to its end.",
            gauge,
            retention.into_iter().flat_map(|retention| count(retention.bytes_behind)).collect(),
        ),
        family(
            "retries_total",
            "Requests to ClickHouse that failed and were sent again, by its error code; none: no answer.",
            counter,
            retries.collect(),
        ),
    ]
}

fn by_table(picture: &Picture) -> Vec<MetricFamily> {
    let mut states = BTreeMap::<&str, f64>::new();
    picture.tables.iter().for_each(|table| *states.entry(&table.state).or_default() += 1.0);
    let states = states.into_iter().map(|(state, count)| (vec![("state", state)], count)).collect();
    let told = told(&picture.tables);
    let each = |value: fn(&TablePicture) -> Option<f64>| {
        let samples = told.iter().map(|table| (vec![("table", table.name.as_str())], value(table)));
        samples.filter_map(|(labels, value)| Some((labels, value?))).collect()
    };
    let state = told.iter().map(|table| (vec![("table", table.name.as_str()), ("state", &table.state)], 1.0)).collect();
    let (counter, gauge) = (MetricType::COUNTER, MetricType::GAUGE);
    vec![
        family("tables", "Replicated tables by state.", gauge, states),
        family("table_state", "1 for the state that the table is in.", gauge, state),
        family("table_rows_total", "Rows acked by ClickHouse.", counter, each(|table| Some(table.rows as f64))),
        family("table_lag_seconds", "As lag_seconds.", gauge, each(|table| Some(table.lag_seconds))),
        family(
            "table_bad_values_total",
            "Values that became NULL by on_bad_value, by column and reason.",
            counter,
            bad_values(&told),
        ),
        family("table_parts", "Active parts of the target.", gauge, each(|table| Some(table.parts? as f64))),
    ]
}

fn bad_values<'a>(tables: &[&'a TablePicture]) -> Vec<Sample<'a>> {
    let all = tables.iter().flat_map(|table| table.bad_values.iter().map(|values| (table.name.as_str(), values)));
    let sample = |(table, values): (&'a str, &'a BadValue)| {
        let labels = vec![("table", table), ("column", values.column.as_str()), ("reason", values.reason)];
        (labels, values.values as f64)
    };
    all.map(sample).collect()
}

/// Those that need attention, then by name.
fn told(tables: &[TablePicture]) -> Vec<&TablePicture> {
    let mut tables: Vec<&TablePicture> = tables.iter().collect();
    tables.sort_by_key(|table| (table.state == "streaming", &table.name));
    tables.truncate(TABLES_MAX);
    tables
}

fn family(name: &str, help: &str, kind: MetricType, samples: Vec<Sample>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(format!("stream_bridge_{name}"));
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples.into_iter().map(|sample| metric(kind, sample)).collect());
    family
}

fn metric(kind: MetricType, (labels, value): Sample) -> Metric {
    let mut metric = Metric::from_label(labels.into_iter().map(label).collect());
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn label((name, value): (&str, &str)) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retention::Retention;

    fn table(name: &str, state: &str, parts: Option<u64>) -> TablePicture {
        TablePicture { name: name.to_owned(), state: state.to_owned(), rows: 7, parts, ..TablePicture::default() }
    }

    #[test]
    fn each_figure_has_its_name_type_and_labels() {
        let retries = [("252", 2), ("none", 1)].map(|(code, count)| (code.to_owned(), count)).into();
        let tables = vec![table("shop.a\"b", "streaming", Some(3)), table("shop.c", "quarantined", None)];
        let retention = Some(Retention { seconds_left: Some(90.5), bytes_behind: 8, ..Retention::default() });
        let state = "streaming".to_owned();
        let picture = Picture { state, rows_total: 14, retries, tables, retention, ..Picture::default() };
        let text = text(&picture).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        for expected in [
            "# TYPE stream_bridge_rows_total counter",
            "stream_bridge_rows_total 14",
            "# TYPE stream_bridge_lag_seconds gauge",
            "stream_bridge_state{state=\"streaming\"} 1",
            "stream_bridge_retries_total{code=\"252\"} 2",
            "stream_bridge_retention_seconds_left 90.5",
            "stream_bridge_retention_bytes_behind 8",
            "stream_bridge_tables{state=\"quarantined\"} 1",
            "stream_bridge_table_rows_total{table=\"shop.a\\\"b\"} 7",
            "stream_bridge_table_state{table=\"shop.c\",state=\"quarantined\"} 1",
            "stream_bridge_table_parts{table=\"shop.a\\\"b\"} 3",
        ] {
            assert!(lines.contains(&expected), "{expected}: {text}");
        }
        assert!(!text.contains("table_parts{table=\"shop.c\"") && !text.contains("checkpoint_age"), "{text}");
    }

    #[test]
    fn so_many_tables_and_the_quarantined_one_among_them() {
        let mut tables: Vec<_> = (0..2000).map(|n| table(&format!("a.t{n:04}"), "streaming", None)).collect();
        tables.push(table("z.bad", "quarantined", None));
        let text = text(&Picture { tables, ..Picture::default() }).unwrap();
        let count = |part: &str| text.lines().filter(|line| line.starts_with(part)).count();
        assert_eq!(count("stream_bridge_table_lag_seconds{"), TABLES_MAX);
        assert_eq!(count("stream_bridge_table_state{table=\"z.bad\""), 1);
        assert!(text.contains("stream_bridge_tables{state=\"streaming\"} 2000"), "{text}");
    }
}
