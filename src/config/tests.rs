//! Tests of the config.

use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/lab/labhouse.toml"))
}

#[test]
fn a_short_config_gets_defaults_and_absolute_paths() {
    let config = parse("[lake]\nurl = \"lake\"\n").unwrap();
    assert_eq!(config.lake.url, "file:///lab/lake");
    assert_eq!(config.policies.dir, Path::new("/lab/policies"));
    assert_eq!(config.flight_address().unwrap().port(), 50051);
}

#[test]
fn unknown_keys_and_wrong_values_are_refused_by_name() {
    for (text, says) in [
        ("[lake]\nurl = \"x\"\nspeed = 9", "speed"),
        ("[lake]\nurl = \"x\"\n[listen]\nflight = \"nonsense\"", "listen.flight"),
        ("[lake]\nurl = \"x\"\n[listen]\nflight = \"0.0.0.0:1\"", "plain text"),
        (
            "[lake]\nurl = \"x\"\n[listen]\npostgres = \"0.0.0.0:5432\"",
            "listen.postgres",
        ),
        ("[lake]\nurl = \"x\"\n[tls]\ncert = \"c.pem\"", "tls.key"),
        ("[lake]\nurl = \"x\"\n[tls]\nclient_ca = \"ca.pem\"", "tls.client_ca"),
        (
            "[lake]\nurl = \"x\"\n[auth.oidc]\nissuer = \"http://id.lab\"\naudience = \"a\"",
            "auth.oidc.issuer",
        ),
        (
            "[lake]\nurl = \"x\"\n[auth.oidc]\nissuer = \"https://id.lab\"",
            "auth.oidc.audience",
        ),
        (
            "[lake]\nurl = \"x\"\n[auth.oidc]\nissuer = \"https://id.lab\"\naudience = \"a\"\nattributes = { \"login:schemas\" = \"x\" }",
            "auth.oidc.attributes",
        ),
        (
            "[lake]\nurl = \"x\"\n[auth.oidc]\nissuer = \"https://id.lab\"\naudience = \"a\"\nroles_claim = \"groups\"",
            "auth.oidc.roles",
        ),
        (
            "[lake]\nurl = \"x\"\n[auth.oidc]\nissuer = \"https://id.lab\"\naudience = \"a\"\nroles_claim = \"groups\"\nroles = { admins = \"lake_admin\" }",
            "role:lab_scientist, chemistry",
        ),
        ("[lake]\nurl = \"x\"\n[limits]\nmemory_mib = 0", "limits.memory_mib"),
        ("[lake]\nurl = \"x\"\n[crawl]\non = \"moon\"", "moon"),
        ("[lake]\nurl = \"x\"\n[care]\nretain_hours = 24", "care.retain_hours"),
        ("[lake]\nurl = \"x\"\n[audit]\ndurability = \"never\"", "durability"),
        (
            "[lake]\nurl = \"x\"\n[alerts.smtp]\nhost = \"mail.lab\"",
            "alerts.smtp.from",
        ),
        (
            "[lake]\nurl = \"x\"\n[alerts.smtp]\nhost = \"mail.lab\"\nfrom = \"a@lab\"\ntls = \"none\"",
            "plain text",
        ),
        (
            "[lake]\nurl = \"x\"\n[alerts.channels.hook]\nkind = \"webhook\"\nurl = \"http://169.254.169.254/\"",
            "https",
        ),
        (
            "[lake]\nurl = \"x\"\n[alerts.channels.email]\nkind = \"file\"\ndir = \"x\"",
            "channel's name",
        ),
        ("[lake]\nurl = \"x\"\n[alerts.channels.a]\nkind = \"pigeon\"", "pigeon"),
        (
            "[lake]\nurl = \"x\"\n[telemetry]\notlp_endpoint = \"http://collector.lab:4318\"",
            "telemetry.otlp_endpoint",
        ),
        (
            "[lake]\nurl = \"x\"\n[pipelines.steps.a]\ntimeout_s = 5",
            "one of the two",
        ),
        (
            "[lake]\nurl = \"x\"\n[pipelines.steps.a]\ncommand = [\"python3\", \"x.py\"]",
            "absolute path",
        ),
        (
            "[lake]\nurl = \"x\"\n[pipelines.steps.a]\nurl = \"http://169.254.169.254/\"",
            "https",
        ),
        (
            "[lake]\nurl = \"x\"\n[pipelines.steps.\"A b\"]\nurl = \"https://x.lab/\"",
            "step's name",
        ),
        (
            "[lake]\nurl = \"x\"\n[cluster]\nlisten = \"0.0.0.0:50060\"",
            "plain text",
        ),
        (
            "[lake]\nurl = \"x\"\n[cluster]\nworkers = [\"10.0.0.5:50060\"]",
            "cluster.workers",
        ),
        ("[lake]\nurl = \"x\"\n[cluster]\nworkers = [\"here\"]", "HOST:PORT"),
        ("[lake]\nurl = \"x\"\n[cluster]\ncert = \"c.pem\"", "cluster.ca"),
        ("[lake]\nurl = \"x\"\n[cluster]\ntasks_max = 0", "cluster.tasks_max"),
        (
            "[lake]\nurl = \"x\"\n[tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n[cluster]\ncert = \"c\"\nkey = \"k\"\nca = \"a\"",
            "cluster.ca",
        ),
        ("[listen]\n", "lake"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn the_commented_example_states_the_defaults() {
    let text = include_str!("../../examples/labhouse.toml");
    let (stated, default) = (
        parse(text).unwrap(),
        parse("[lake]\nurl = \"file:///var/lib/labhouse\"").unwrap(),
    );
    assert_eq!(format!("{stated:?}"), format!("{default:?}"));
    assert_eq!(default.audit.anchor, "/lab/audit-anchors.jsonl");
    let keys = text
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with('#'))
        .count();
    assert_eq!(keys, 83, "a new key needs a line in the example");
}

#[test]
fn nodes_beyond_loopback_are_encrypted_and_names_of_this_machine_need_not_be() {
    let with = |cluster: &str| parse(&format!("[lake]\nurl = \"x\"\n[cluster]\n{cluster}"));
    let files = "cert = \"c.pem\"\nkey = \"k.pem\"\nca = \"a.pem\"\n";
    let config = with(&format!(
        "{files}listen = \"0.0.0.0:50060\"\nworkers = [\"workers.lab:50060\"]"
    ))
    .unwrap();
    assert_eq!(config.cluster.ca, "/lab/a.pem");
    assert!(with("workers = [\"localhost:1\", \"127.0.0.2:1\", \"[::1]:1\"]").is_ok());
}

#[test]
fn plain_text_beyond_loopback_needs_a_word() {
    let text = "[lake]\nurl = \"x\"\n[listen]\nflight = \"0.0.0.0:1\"\nhttp = \"\"\n[tls]\nallow_plaintext = true";
    assert!(parse(text).is_ok());
}
