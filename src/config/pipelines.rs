//! `[pipelines]`: views as files, and what their rows may be sent through.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;

use super::ConfigError;
use super::alerts::is_safe;

/// Where the lab's views are, as SQL files, and the external steps that views may name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pipelines {
    pub(crate) dir: PathBuf,
    /// The only programs and addresses that a view's rows go to.
    pub(crate) steps: BTreeMap<String, Step>,
}

/// A program or an address that takes an Arrow stream and gives one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    /// Absolute path of a program, and its arguments; run without a shell and with an empty environment.
    pub(crate) command: Vec<String>,
    /// Address that the stream is posted to: https, or http on this machine.
    pub(crate) url: String,
    /// Time for one refresh, in seconds.
    pub(crate) timeout_s: u64,
    /// Bytes that it may give, in MiB.
    pub(crate) output_mib: usize,
}

impl Default for Pipelines {
    fn default() -> Self {
        Self {
            dir: "pipelines".into(),
            steps: BTreeMap::new(),
        }
    }
}

impl Default for Step {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            url: String::new(),
            timeout_s: 600,
            output_mib: 256,
        }
    }
}

impl Pipelines {
    pub(super) fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, problem| Err(ConfigError::value(path, key, value, problem));
        for (name, step) in &self.steps {
            let is_plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
            if name.is_empty() || !name.chars().all(is_plain) {
                return wrong("pipelines.steps", name, "cannot be a step's name: use a-z, 0-9 and _");
            }
            if step.command.is_empty() == step.url.is_empty() {
                return wrong("pipelines.steps", name, "needs a command or a url, one of the two");
            }
            if step
                .command
                .first()
                .is_some_and(|program| !Path::new(program).is_absolute())
            {
                return wrong(
                    "pipelines.steps.command",
                    name,
                    "must begin with the absolute path of a program: nothing is looked for on a PATH",
                );
            }
            if !step.url.is_empty() && !Url::parse(&step.url).is_ok_and(|url| is_safe(&url)) {
                return wrong(
                    "pipelines.steps.url",
                    &step.url,
                    "is not https://…; plain http is for addresses of this machine, such as http://127.0.0.1:9000/",
                );
            }
            if step.timeout_s == 0 || step.output_mib == 0 {
                return wrong(
                    "pipelines.steps",
                    name,
                    "has timeout_s or output_mib 0; both must be at least 1",
                );
            }
        }
        Ok(())
    }
}
