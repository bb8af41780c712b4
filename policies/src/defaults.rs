//! The policy that labhouse ships and the demo starts with.

/// File name and text of the shipped policy: what an administrator copies and edits, and in `policy.test` what it promises. The masks in it need a file `secret`
/// beside them, which is not shipped: it must be random, see `filters.toml`.
pub fn default_files() -> &'static [(&'static str, &'static str)] {
    &[
        ("model.conf", include_str!("../default/model.conf")),
        ("policy.csv", include_str!("../default/policy.csv")),
        ("filters.toml", include_str!("../default/filters.toml")),
        ("policy.test", include_str!("../default/policy.test")),
    ]
}
