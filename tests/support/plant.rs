//! Plants bugs into a copy of the program, each asleep until an environment variable wakes it.
//!
//! The copy is a package of another name in a folder below the target folder, where it is built too, so that dependencies
//! are not built again. A pattern that is not exactly once in its file fails: then the code has moved, and the bug must too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that switches a bug of the copy on, by its name.
pub const SWITCH: &str = "STREAM_BRIDGE_PLANTED_BUG";

/// A mistake that a person could make.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// Switches it on.
    pub name: &'static str,
    /// Below the root.
    pub file: &'static str,
    /// What stands there once.
    pub right: &'static str,
    /// What stands there instead; `BUG` is whether it is switched on.
    pub wrong: &'static str,
}

/// Appended to the copy's root module.
const ASK: &str = "
/// Whether this bug is switched on.
pub fn planted(name: &str) -> bool {
    static BUG: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    BUG.get_or_init(|| std::env::var(\"SWITCH\").ok()).as_deref() == Some(name)
}
";

/// The program with all bugs, each asleep. `name` keeps the copies of several tests apart.
///
/// # Panics
/// When it does not build.
pub fn build(name: &str, bugs: &[Bug]) -> PathBuf {
    // Tests lie in `target/PROFILE/deps`.
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().nth(3).unwrap();
    let (package, source) = (format!("planted-{name}"), target.join("tmp/planted").join(name));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&root.join("src"), &source.join("src"), bugs);
    for (file, addition) in [("Cargo.toml", "\n[lib]\nname = \"stream_bridge\"\n"), ("Cargo.lock", "")] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        write(&source.join(file), renamed(&text, &package) + addition);
    }
    let status = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--bins"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", target)
        .status()
        .unwrap();
    assert!(status.success(), "the copy with the planted bugs does not build");
    target.join("debug").join(package)
}

/// The manifest or the lock of another package with the same dependencies.
fn renamed(text: &str, package: &str) -> String {
    text.replace("\"stream-bridge\"", &format!("{package:?}"))
}

fn copy(from: &Path, to: &Path, bugs: &[Bug]) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        return fs::read_dir(from).unwrap().for_each(|entry| {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name), bugs);
        });
    }
    let bytes = match String::from_utf8(fs::read(from).unwrap()) {
        Ok(text) => plant(from, text, bugs).into_bytes(),
        Err(error) => error.into_bytes(), // a table
    };
    write(to, bytes);
}

/// A file that is as it was keeps its time, so that cargo builds only what changed.
fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    if fs::read(path).is_ok_and(|old| old == bytes.as_ref()) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn plant(path: &Path, text: String, bugs: &[Bug]) -> String {
    let mut text = text;
    for bug in bugs.iter().filter(|bug| path.ends_with(bug.file)) {
        let found = text.matches(bug.right).count();
        assert_eq!(found, 1, "{}: this must be in it once: {}", bug.file, bug.right);
        text = text.replace(bug.right, &bug.wrong.replace("BUG", &format!("crate::planted({:?})", bug.name)));
    }
    if path.ends_with("src/lib.rs") {
        text.push_str(&ASK.replace("SWITCH", SWITCH));
    }
    text
}
