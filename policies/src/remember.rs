//! Decisions that were made before, found again without building a key.
//!
//! A policy set never changes, so neither does a decision. They lie in maps within maps (person, department, object), each
//! asked with a borrowed text, because a key of owned texts would cost more than the decision.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::action::Action;
use crate::decision::Decision;
use crate::object::Tags;

/// Decisions remembered per policy set; at some 300 bytes each about 20 MiB. When full all are forgotten at once: what is
/// asked often is soon back.
const REMEMBERED_MAX: usize = 65_536;

/// What was decided of one object: for an action and the object's tags.
type OfObject = Vec<(Action, Tags, Arc<Decision>)>;

/// Decisions by person, department and object.
#[derive(Default)]
pub(crate) struct Remembered(RwLock<Memory>);

#[derive(Default)]
struct Memory {
    decisions: HashMap<String, HashMap<String, HashMap<String, OfObject>>>,
    count: usize,
}

impl Remembered {
    pub(crate) fn get(
        &self,
        name: &str,
        department: &str,
        object: &str,
        tags: &Tags,
        action: Action,
    ) -> Option<Arc<Decision>> {
        let memory = self.0.read();
        let of_object = memory.decisions.get(name)?.get(department)?.get(object)?;
        let known = of_object.iter().find(|(of, with, _)| *of == action && with == tags)?;
        Some(Arc::clone(&known.2))
    }

    pub(crate) fn keep(
        &self,
        name: &str,
        department: &str,
        object: &str,
        tags: &Tags,
        action: Action,
        decision: &Arc<Decision>,
    ) {
        let mut memory = self.0.write();
        if memory.count >= REMEMBERED_MAX {
            *memory = Memory::default();
        }
        memory.count += 1;
        let of_person = memory.decisions.entry(name.to_owned()).or_default();
        let of_department = of_person.entry(department.to_owned()).or_default();
        let of_object = of_department.entry(object.to_owned()).or_default();
        of_object.push((action, tags.clone(), Arc::clone(decision)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Reason;

    #[test]
    fn each_part_of_the_question_counts_and_memory_is_bounded() {
        let remembered = Remembered::default();
        let yes = Arc::new(Decision {
            allowed: true,
            determined_by: Vec::new(),
            reason: Reason::Allowed,
        });
        let tags = Tags::from([("k".to_owned(), "v".to_owned())]);
        remembered.keep("ana", "chem", "lab/x", &tags, Action::Select, &yes);
        let ask =
            |name, department, object, tags: &Tags, action| remembered.get(name, department, object, tags, action);
        assert!(ask("ana", "chem", "lab/x", &tags, Action::Select).is_some());
        assert!(ask("sam", "chem", "lab/x", &tags, Action::Select).is_none());
        assert!(ask("ana", "bio", "lab/x", &tags, Action::Select).is_none());
        assert!(ask("ana", "chem", "lab/y", &tags, Action::Select).is_none());
        assert!(ask("ana", "chem", "lab/x", &Tags::new(), Action::Select).is_none());
        assert!(ask("ana", "chem", "lab/x", &tags, Action::Insert).is_none());
        for n in 0..REMEMBERED_MAX {
            remembered.keep("ana", "chem", &n.to_string(), &tags, Action::Select, &yes);
        }
        assert!(ask("ana", "chem", "lab/x", &tags, Action::Select).is_none());
    }
}
