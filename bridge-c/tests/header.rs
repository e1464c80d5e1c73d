//! `include/durably.h` is what cbindgen makes of the crate. `DURABLY_GENERATE=1 cargo test -p durably-bridge-c --test
//! header` writes it anew.

use std::fs;
use std::path::Path;

#[test]
fn the_committed_header_is_the_generated_one() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = cbindgen::Config::from_root_or_default(crate_dir);
    config.header = Some(fs::read_to_string(crate_dir.join("preamble.h")).expect("preamble.h"));
    // Named by nothing but their documentation.
    config.export.include = vec!["Kind".to_owned(), "Header".to_owned()];
    for kind in ["Status", "Error", "Port", "Wake", "Kind", "Header", "Client", "Worker"] {
        config.export.rename.insert(kind.to_owned(), format!("Durably{kind}"));
    }
    let bindings = cbindgen::Builder::new()
        .with_crate(crate_dir)
        .with_config(config)
        .generate()
        .expect("cbindgen reads this crate");
    let mut made = Vec::new();
    bindings.write(&mut made);
    let made = String::from_utf8(made).expect("C is UTF-8");
    let path = crate_dir.join("include/durably.h");
    if std::env::var_os("DURABLY_GENERATE").is_some() {
        fs::write(&path, &made).expect("include/ is writable");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == committed,
        "include/durably.h is not what the crate says: run `DURABLY_GENERATE=1 cargo test -p durably-bridge-c \
         --test header` and commit it"
    );
}
