//! Names that need no quotes in SQL: of tables here, of columns in [`clean_column`].

use crate::error::LakeError;

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

    /// Any text as one part of a name: lower case, runs of other characters become `_`, a leading digit gets `t_`.
    pub fn clean(text: &str) -> String {
        clean(text, 't', "unnamed")
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
    name.truncate(NAME_BYTES_MAX);
    name.trim_end_matches('_').to_owned()
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

/// Runs of `_` become one, and none stands at an end.
fn single(text: &str) -> String {
    text.split('_')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

#[cfg(test)]
mod tests {
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
        assert_eq!(TableName::clean("…"), "unnamed");
        assert!(TableName::parse("chemistry.plate_readings").is_ok());
        assert!(TableName::parse("chemistry.Plate").is_err());
        assert!(TableName::parse("chemistry.2x").is_err());
        assert!(TableName::parse("nodot").is_err());
        assert!(TableName::parse("../x.y").is_err());
    }
}
