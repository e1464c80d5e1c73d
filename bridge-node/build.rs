//! Lets the addon find the functions of the Node process that loads it.

fn main() {
    napi_build::setup();
}
