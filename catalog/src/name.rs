//! Names that need no quotes in SQL: of tables here, of columns in [`clean_column`].

use sha2::{Digest, Sha256};

use crate::error::LakeError;
use crate::letters;

/// A name longer than this is cut: some file systems and BI tools stop at 128 bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// Where a table lives: `schema.table`, both `[a-z0-9_]+`, not starting with a digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    /// A name out of free words, each cleaned as by [`TableName::clean`].
    pub fn new(schema: &str, table: &str) -> Self {
        Self {
            schema: Self::clean(schema),
            table: Self::clean(table),
        }
    }

    /// A name exactly as written.
    ///
    /// # Errors
    /// [`LakeError::Name`] when a part is empty, too long or holds anything but `[a-z0-9_]`, or starts with a digit.
    pub fn parse(text: &str) -> Result<Self, LakeError> {
        let refuse = |reason| LakeError::Name {
            name: text.to_owned(),
            reason,
        };
        let (schema, table) = text
            .split_once('.')
            .ok_or_else(|| refuse("it has no dot between schema and table"))?;
        for part in [schema, table] {
            if !is_clean(part) {
                return Err(refuse(
                    "each part must be [a-z0-9_], not start with a digit and have at most 128 bytes",
                ));
            }
        }
        Ok(Self {
            schema: schema.to_owned(),
            table: table.to_owned(),
        })
    }

    /// Any text as one part of a name: lower case, runs of other characters become `_`, a leading digit gets `t_`. Cyrillic and
    /// Greek are written in Latin letters. Where letters of another script are left out, a digest of the whole text stands
    /// at the end, so that two texts have two names; so does it in the name of a text without letters, or of a long one.
    pub fn clean(text: &str) -> String {
        let (latin, scripts) = letters::latin(text);
        let words = cleaned(&latin, 't', "");
        let is_plain = scripts.is_empty() && words.len() <= NAME_BYTES_MAX;
        if is_plain && !words.is_empty() {
            return words;
        }
        let mut words = match (words.is_empty(), scripts.is_empty()) {
            (false, _) => words,
            (true, false) => scripts.into_iter().collect::<Vec<_>>().join("_"),
            (true, true) => "unnamed".to_owned(),
        };
        let digest = digest(text);
        words.truncate(NAME_BYTES_MAX - digest.len() - 1);
        format!("{}_{digest}", words.trim_end_matches('_'))
    }

    /// Where the table lies below the lake's root.
    pub fn location(&self) -> String {
        format!("{}/{}/{}", crate::lake::TABLES, self.schema, self.table)
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// May it stand as it is? Looser than what [`clean`] gives: `table__block` and a leading `_` are names too.
pub(crate) fn is_clean(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Any column heading as a column name: "Yield [%]" → `yield_pct`, "Conc. (µM)" → `conc_um`, "1" → `c_1`.
/// Empty when nothing of it is left.
pub(crate) fn clean_column(heading: &str) -> String {
    clean(heading, 'c', "")
}

fn clean(text: &str, prefix: char, nothing: &str) -> String {
    let mut name = cleaned(text, prefix, nothing);
    name.truncate(NAME_BYTES_MAX);
    name.trim_end_matches('_').to_owned()
}

/// The same, however long it is.
fn cleaned(text: &str, prefix: char, nothing: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut previous_lower = false;
    for ch in text.chars() {
        if ch.is_ascii_alphanumeric() {
            // camelCase is two words: "plateId" reads plate_id.
            if ch.is_ascii_uppercase() && previous_lower {
                out.push('_');
            }
            out.push(ch.to_ascii_lowercase());
            previous_lower = !ch.is_ascii_uppercase();
            continue;
        }
        out.push_str(plain(ch));
        previous_lower = false;
    }
    let joined = single(&out);
    let mut name = if joined.is_empty() { nothing.to_owned() } else { joined };
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name = format!("{prefix}_{name}");
    }
    name
}

/// Any character but ASCII letters and digits in letters of a name; `_` where it only separates.
pub(crate) fn plain(ch: char) -> &'static str {
    match ch {
        '%' => "_pct_",
        'µ' | 'μ' => "u",
        '°' => "deg_",
        'ä' | 'Ä' => "ae",
        'ö' | 'Ö' => "oe",
        'ü' | 'Ü' => "ue",
        'ß' => "ss",
        'á' | 'à' | 'â' | 'å' | 'Å' | 'À' | 'Á' => "a",
        'é' | 'è' | 'ê' | 'ë' | 'É' | 'È' => "e",
        'í' | 'ì' | 'î' => "i",
        'ó' | 'ò' | 'ô' | 'ø' => "o",
        'ú' | 'ù' | 'û' => "u",
        'ç' => "c",
        'ñ' => "n",
        _ => "_",
    }
}

/// Eight hexadecimal digits of a text: among the thousand folders of a lab two have the same once in ten thousand labs.
fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Runs of `_` become one, and none stands at an end.
fn single(text: &str) -> String {
    text.split('_')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn headings_become_names() {
        for (heading, name) in [
            ("Yield [%]", "yield_pct"),
            ("Conc. (µM)", "conc_um"),
            ("1", "c_1"),
            ("plateId", "plate_id"),
            ("Plate ID", "plate_id"),
            ("Aryl halide", "aryl_halide"),
            ("_source_file", "source_file"),
            ("###", ""),
            ("%", "pct"),
            ("Temperature °C", "temperature_deg_c"),
        ] {
            assert_eq!(clean_column(heading), name, "{heading}");
        }
    }

    #[test]
    fn table_names_are_cleaned_or_refused() {
        assert_eq!(TableName::clean("2026 Plates!"), "t_2026_plates");
        assert!(TableName::clean("…").starts_with("unnamed_"));
        assert!(TableName::parse("chemistry.plate_readings").is_ok());
        assert!(TableName::parse("chemistry.Plate").is_err());
        assert!(TableName::parse("chemistry.2x").is_err());
        assert!(TableName::parse("nodot").is_err());
        assert!(TableName::parse("../x.y").is_err());
    }

    #[test]
    fn names_of_any_script_are_told_apart() {
        assert_eq!(TableName::clean("Химия"), "khimiya");
        assert_eq!(TableName::clean("Выход 2026"), "vykhod_2026");
        assert_eq!(TableName::clean("Χημεία"), "chimeia");
        assert_eq!(TableName::clean("β-lactam µM"), "b_lactam_um");
        // Of what is not written in Latin letters the script is told, or the words beside it, and a digest of the whole.
        let names: Vec<String> = [
            "化学",
            "人事",
            "数据",
            "データ",
            "화학",
            "كيمياء",
            "化学 data",
            "人事 data",
            "🧪",
            "⚗",
            "###",
        ]
        .into_iter()
        .map(TableName::clean)
        .collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| is_clean(name)), "{names:?}");
        assert!(
            names[0].starts_with("han_") && names[3].starts_with("kana_") && names[6].starts_with("data_"),
            "{names:?}"
        );
        // A name is a name already, and long ones keep what tells them apart.
        assert!(names.iter().all(|name| TableName::clean(name) == *name));
        let long = |last: &str| TableName::clean(&("Chemistry ".repeat(30) + last));
        assert!(long("化").len() <= NAME_BYTES_MAX && long("化") != long("学") && long("a") != long("b"));
        // The no: Latin letters with accents are as they were.
        assert_eq!(TableName::clean("Ångström über é"), "angstroem_ueber_e");
    }
}
