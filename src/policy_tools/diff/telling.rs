//! Changes as lines for people and as JSON for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::change::{Changes, Gained, Seen, TableChange};

impl Changes {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.principal)?;
        for table in &self.tables {
            writeln!(out, "  {}: {}", table.table, table.in_words().join("; "))?;
        }
        for (word, objects) in [("may now", &self.execute.gained), ("may no longer", &self.execute.lost)] {
            for object in objects {
                writeln!(out, "  {object}: {word} execute it")?;
            }
        }
        Ok(())
    }

    /// Each change with the object it is about and how that is seen then, for a table.
    pub(crate) fn facts(&self) -> Vec<(String, &'static str, String)> {
        let tables = self.tables.iter().map(|table| {
            let verdict = match table.seen {
                Seen::Gained => "gained",
                Seen::Lost => "lost",
                Seen::Never | Seen::Both => "changed",
            };
            (table.table.to_string(), verdict, table.in_words().join("; "))
        });
        let execute = [
            ("gained", "may now", &self.execute.gained),
            ("lost", "may no longer", &self.execute.lost),
        ];
        let execute = execute.into_iter().flat_map(|(verdict, word, objects)| {
            objects
                .iter()
                .map(move |object| (object.clone(), verdict, format!("{word} execute it")))
        });
        tables.chain(execute).collect()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "principal": self.principal,
            "tables": self.tables.iter().map(TableChange::json).collect::<Vec<Value>>(),
            "execute": {"gained": self.execute.gained, "lost": self.execute.lost},
        })
    }
}

impl TableChange {
    fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        let named = |word: &str, columns: &[String]| match columns {
            [] => None,
            [one] => Some(format!("{word} column {one}")),
            some => Some(format!("{word} columns {}", some.join(", "))),
        };
        match self.seen {
            Seen::Gained => words.push(format!(
                "gains the table with columns {}",
                self.columns.gained.join(", ")
            )),
            Seen::Lost => words.push(format!("loses the table with columns {}", self.columns.lost.join(", "))),
            Seen::Never | Seen::Both => {
                words.extend(named("gains", &self.columns.gained));
                words.extend(named("loses", &self.columns.lost));
            }
        }
        for (column, mask) in &self.masks {
            words.push(match mask {
                Some(mask) => format!("sees column {column} masked by {mask} now"),
                None => format!("sees column {column} unmasked now"),
            });
        }
        if let Some(rows) = self.rows {
            let some = [("gains", rows.gained), ("loses", rows.lost)].into_iter();
            let some = some.filter(|(_, rows)| *rows > 0);
            words.extend(some.map(|(word, rows)| format!("{word} {rows} row{}", if rows == 1 { "" } else { "s" })));
        }
        let Gained { gained, lost } = &self.rights;
        for (word, actions) in [("may now", gained), ("may no longer", lost)] {
            let actions: Vec<&str> = actions.iter().map(|action| action.as_str()).collect();
            if !actions.is_empty() {
                words.push(format!("{word} {}", actions.join(", ")));
            }
        }
        words
    }

    fn json(&self) -> Value {
        let table = match self.seen {
            Seen::Gained => Some("gained"),
            Seen::Lost => Some("lost"),
            Seen::Never | Seen::Both => None,
        };
        let masks = self
            .masks
            .iter()
            .map(|(column, mask)| json!({"column": column, "mask": mask}));
        let actions = |actions: &[labhouse_policies::Action]| -> Vec<&str> {
            actions.iter().map(|action| action.as_str()).collect()
        };
        json!({
            "table": self.table,
            "seen": table,
            "columns": {"gained": self.columns.gained, "lost": self.columns.lost},
            "masks": masks.collect::<Vec<Value>>(),
            "rows": self.rows.map(|rows| json!({"gained": rows.gained, "lost": rows.lost})),
            "may": {"gained": actions(&self.rights.gained), "lost": actions(&self.rights.lost)},
        })
    }
}
