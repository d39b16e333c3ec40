//! JSON: random documents, and expressions that change a part of one.

use crate::dice::Dice;
use crate::values::quote;

const KEYS: [&str; 7] = ["a", "b", "c", "", "é🎁", "key with spaces", "aa"];
const SCALARS: [&str; 20] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "32767",
    "32768",
    "-32769",
    "65536",
    "2147483648",
    "-9223372036854775808",
    "18446744073709551615",
    "0.1",
    "-0.0",
    "1e100",
    "1e10",
    "\"\"",
    "\"text\"",
    "\"Grüße 日本 🎁 \\\" \\\\ \\u0000 \\n\"",
    "1.5",
];

/// A document's text: mostly an object, so that paths into it exist.
pub fn document(dice: &mut Dice) -> String {
    match dice.below(10) {
        0 => (*dice.pick(&SCALARS)).to_owned(),
        1 => array(dice, 3),
        2 => format!("{}1{}", "[".repeat(99), "]".repeat(99)),
        3 => {
            let count = dice.between(1, 400);
            format!("{{\"a\": \"{}\", \"b\": {}}}", "x".repeat(dice.below(300)), numbers(dice, count))
        }
        _ => object(dice, 4),
    }
}

fn numbers(dice: &mut Dice, count: usize) -> String {
    let list: Vec<String> = (0..count).map(|_| dice.magnitude(64).to_string()).collect();
    format!("[{}]", list.join(", "))
}

fn value(dice: &mut Dice, depth: usize) -> String {
    match dice.below(4) {
        0 if depth > 0 => object(dice, depth - 1),
        1 if depth > 0 => array(dice, depth - 1),
        _ => (*dice.pick(&SCALARS)).to_owned(),
    }
}

fn object(dice: &mut Dice, depth: usize) -> String {
    let keys: Vec<&str> = KEYS.into_iter().filter(|_| dice.percent(50)).collect();
    let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\": {}", value(dice, depth))).collect();
    format!("{{{}}}", members.join(", "))
}

fn array(dice: &mut Dice, depth: usize) -> String {
    let elements: Vec<String> = (0..dice.below(5)).map(|_| value(dice, depth)).collect();
    format!("[{}]", elements.join(", "))
}

/// An expression that changes a document of `column` in places, in the three ways that MySQL may log as a difference,
/// or in others.
pub fn change(dice: &mut Dice, column: &str) -> String {
    let mut document = column.to_owned();
    for _ in 0..dice.between(1, 3) {
        let function = *dice.pick(&["JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE", "JSON_ARRAY_APPEND"]);
        let places: Vec<String> = (0..dice.between(1, 3)).map(|_| place(dice, function)).collect();
        document = format!("{function}({document}, {})", places.join(", "));
    }
    document
}

fn place(dice: &mut Dice, function: &str) -> String {
    let path = path(dice);
    if function == "JSON_REMOVE" { path } else { format!("{path}, {}", part(dice)) }
}

fn path(dice: &mut Dice) -> String {
    let mut path = "$".to_owned();
    for _ in 0..dice.between(1, 3) {
        match dice.below(4) {
            0 => path.push_str(*dice.pick(&["[0]", "[1]", "[last]", "[7]"])),
            _ => path.push_str(&format!(".\"{}\"", dice.pick(&KEYS))),
        }
    }
    quote(&path)
}

/// A value to put in, of every kind that binary JSON has.
fn part(dice: &mut Dice) -> String {
    let parts = [
        "NULL",
        "TRUE",
        "-1",
        "18446744073709551615",
        "0.1e0",
        "1.10",
        "DATE'2024-02-29'",
        "TIMESTAMP'9999-12-31 23:59:59.999999'",
        "TIME'-00:00:00.1'",
        "X'00FF'",
        "''",
        "'text'",
        "REPEAT('é', 200)",
        "REPEAT('x', 70000)",
        "JSON_ARRAY()",
        "CAST('[]' AS JSON)",
        "CAST('{\"z\": [1, {}]}' AS JSON)",
    ];
    match dice.below(4) {
        0 => format!("CAST({} AS JSON)", quote(&document(dice))),
        _ => (*dice.pick(&parts)).to_owned(),
    }
}
