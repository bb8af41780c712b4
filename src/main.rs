//! labhouse.
fn main() {}
