//! Decodes a binlog file by another library: `peers mysql_common|mysql-replication FILE`.
//!
//! Every value of every row image is made, by the means that the library offers, and thrown away. Prints the rows (of an
//! update, which has two images, one) and the CPU seconds of the one thread that did it.

use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::BufReader;

use mysql_common::binlog::consts::BinlogVersion;
use mysql_common::binlog::events::EventData as CommonEvent;
use mysql_common::binlog::{BinlogFile as CommonFile, row::BinlogRow};
use mysql_replication::file::BinlogFile;
use mysql_replication::parser::ParserConfig;
use mysql_replication::{EventData, Full};

const READ_BYTES: usize = 256 << 10;

type Outcome = Result<u64, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reader, path] = arguments.as_slice() else { return Err("peers READER FILE".into()) };
    let file = BufReader::with_capacity(READ_BYTES, File::open(path)?);
    let begin = cpu_seconds()?;
    let rows = match reader.as_str() {
        "mysql_common" => mysql_common(file)?,
        "mysql-replication" => mysql_replication(file)?,
        other => return Err(format!("{other} is neither mysql_common nor mysql-replication").into()),
    };
    println!("{rows} {}", cpu_seconds()? - begin);
    Ok(())
}

fn mysql_common(file: BufReader<File>) -> Outcome {
    let mut file = CommonFile::new(BinlogVersion::Version4, file)?;
    let mut rows = 0;
    while let Some(event) = file.next().transpose()? {
        let Some(CommonEvent::RowsEvent(event)) = event.read_data()? else { continue };
        let table = file.reader().get_tme(event.table_id()).ok_or("rows without a table")?;
        for row in event.rows(table) {
            let images: (Option<BinlogRow>, Option<BinlogRow>) = row?;
            black_box(images);
            rows += 1;
        }
    }
    Ok(rows)
}

fn mysql_replication(file: BufReader<File>) -> Outcome {
    let mut file = BinlogFile::<_, Full>::new(file, ParserConfig::default())?;
    let mut rows = 0;
    while let Some(event) = file.next_event()? {
        let EventData::Rows(event) = &event.event else { continue };
        for row in event.rows()? {
            let (before, after) = row?.operation.into_images();
            for image in before.into_iter().chain(after) {
                for field in image.fields() {
                    black_box(field?.value);
                }
            }
            rows += 1;
        }
    }
    Ok(rows)
}

/// The first figure of Linux's scheduler statistics: nanoseconds on a CPU.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = statistics.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
