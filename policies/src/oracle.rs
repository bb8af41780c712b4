//! Casbin itself, asked in its own words.
//!
//! The compiled engine in [`crate::decision`] answers in production because Casbin scans every rule. This plain enforcer
//! is built from the same rows and must agree: `load` asks both about every exact object of the policy and refuses a set
//! on which they differ, and the property tests ask both about random policies.

use std::fmt;

use async_trait::async_trait;
use casbin::rhai::Dynamic;
use casbin::{Adapter, CoreApi, DefaultModel, Enforcer, Filter, Model};
use futures::FutureExt;

use crate::action::{Action, Actions};
use crate::model_conf::SHAPE;
use crate::object::{ObjectPattern, Tags};
use crate::rules::Rules;

/// Between tags, and between a tag's key and value, in Casbin's one string. Neither can stand in a tag pattern.
const TAG_END: char = '\u{1e}';
const KEY_END: char = '\u{1f}';

/// Casbin could not be built or asked.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// Casbin's own error.
    #[error("Casbin says: {0}")]
    Casbin(#[from] casbin::Error),
    /// Casbin waited for something although everything is in memory.
    #[error("Casbin did not answer at once; this is a fault of labhouse, please report it")]
    Waited,
}

/// The plain enforcer.
pub(crate) struct Oracle {
    enforcer: Enforcer,
}

impl fmt::Debug for Oracle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Oracle")
    }
}

impl Oracle {
    pub(crate) fn new(rules: &Rules) -> Result<Self, OracleError> {
        let mut model = DefaultModel::default();
        for (section, keys) in SHAPE {
            let kind = match section {
                "request_definition" => "r",
                "policy_definition" => "p",
                "role_definition" => "g",
                "policy_effect" => "e",
                _ => "m",
            };
            for (key, value) in keys {
                model.add_def(kind, key, value);
            }
        }
        // Everything is in memory, so both steps are ready at the first poll, inside and outside a runtime.
        let mut enforcer = Enforcer::new_raw(model, Rows(rows(rules)))
            .now_or_never()
            .ok_or(OracleError::Waited)??;
        enforcer.add_function("actMatch", casbin::function_map::OperatorFunction::Arg2(act_match));
        enforcer.add_function("objMatch", casbin::function_map::OperatorFunction::Arg3(obj_match));
        // Before the load: a domain matching function set later sees no link that is already there.
        enforcer
            .get_role_manager()
            .write()
            .matching_fn(None, Some(|asked, link| link == "*" || link == asked));
        enforcer.load_policy().now_or_never().ok_or(OracleError::Waited)??;
        Ok(Oracle { enforcer })
    }

    pub(crate) fn ask(
        &self,
        subject: &str,
        domain: &str,
        object: &str,
        tags: &Tags,
        action: Action,
    ) -> Result<bool, OracleError> {
        let tags: String = tags.iter().map(|(k, v)| format!("{k}{KEY_END}{v}{TAG_END}")).collect();
        Ok(self
            .enforcer
            .enforce((subject, domain, object, tags.as_str(), action.as_str()))?)
    }
}

fn act_match(asked: Dynamic, rule: Dynamic) -> Dynamic {
    let asked = text(asked).parse::<Action>();
    let rule = Actions::parse(&text(rule));
    matches!((asked, rule), (Ok(asked), Ok(rule)) if rule.contains(asked)).into()
}

fn obj_match(object: Dynamic, tags: Dynamic, rule: Dynamic) -> Dynamic {
    let (object, tags) = (text(object), text(tags));
    let parts: Vec<&str> = object.split('/').collect();
    let pairs = tags.split(TAG_END).filter_map(|tag| tag.split_once(KEY_END));
    let tags: Tags = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    ObjectPattern::parse(&text(rule))
        .is_ok_and(|pattern| pattern.matches(&parts, &tags))
        .into()
}

fn text(value: Dynamic) -> String {
    value.into_string().unwrap_or_default()
}

fn rows(rules: &Rules) -> Vec<(&'static str, &'static str, Vec<String>)> {
    let grants = rules.grants.iter().map(|g| ("p", "p", g.fields.to_vec()));
    let links = rules
        .links
        .iter()
        .map(|l| ("g", "g", vec![l.member.clone(), l.role.clone(), l.domain.clone()]));
    grants.chain(links).collect()
}

/// Hands Casbin the rows that the strict loader accepted. Read only.
struct Rows(Vec<(&'static str, &'static str, Vec<String>)>);

#[async_trait]
impl Adapter for Rows {
    async fn load_policy(&mut self, model: &mut dyn Model) -> casbin::Result<()> {
        for (section, kind, row) in &self.0 {
            model.add_policy(section, kind, row.clone());
        }
        Ok(())
    }

    async fn load_filtered_policy<'a>(&mut self, model: &mut dyn Model, _: Filter<'a>) -> casbin::Result<()> {
        self.load_policy(model).await
    }

    async fn save_policy(&mut self, _: &mut dyn Model) -> casbin::Result<()> {
        Ok(())
    }

    async fn clear_policy(&mut self) -> casbin::Result<()> {
        Ok(())
    }

    fn is_filtered(&self) -> bool {
        false
    }

    async fn add_policy(&mut self, _: &str, _: &str, _: Vec<String>) -> casbin::Result<bool> {
        Ok(false)
    }

    async fn add_policies(&mut self, _: &str, _: &str, _: Vec<Vec<String>>) -> casbin::Result<bool> {
        Ok(false)
    }

    async fn remove_policy(&mut self, _: &str, _: &str, _: Vec<String>) -> casbin::Result<bool> {
        Ok(false)
    }

    async fn remove_policies(&mut self, _: &str, _: &str, _: Vec<Vec<String>>) -> casbin::Result<bool> {
        Ok(false)
    }

    async fn remove_filtered_policy(&mut self, _: &str, _: &str, _: usize, _: Vec<String>) -> casbin::Result<bool> {
        Ok(false)
    }
}
