//! What a new column seems to hold, by its heading and its values: kept beside the column for search and for whoever sets tags.
//!
//! These are findings and not tags: tags decide who sees what and are inherited by what is made of a table, so only a
//! person sets them. `pii` is proposed where values look like addresses or names of people.

use std::collections::{BTreeSet, HashMap};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;

use crate::formats::{UNIT_KEY, is_smiles, is_well};

/// What the values are: `well`, `plate`, `smiles`, `inchi`, `inchi_key`, `email` or `person`.
pub const KIND_KEY: &str = "labhouse.kind";
/// A tag that somebody should consider, as `labhouse.proposed.<key>` with its value.
pub const PROPOSED_PREFIX: &str = "labhouse.proposed.";

/// Values that are looked at.
const VALUES_MAX: usize = 256;
/// This share of them must look so.
const SHARE: f64 = 0.9;
/// Names alone are no evidence of wells below so many different ones.
const WELLS_MIN: usize = 8;
/// A structure without any sign of bonds, branches or rings may be a word.
const PLAIN_LENGTH: usize = 8;

/// Words of a heading whose column holds people.
const PEOPLE: [&str; 24] = [
    "operator",
    "user",
    "username",
    "analyst",
    "scientist",
    "chemist",
    "biologist",
    "author",
    "owner",
    "technician",
    "experimenter",
    "investigator",
    "patient",
    "person",
    "surname",
    "firstname",
    "lastname",
    "contact",
    "reviewer",
    "approver",
    "witness",
    "supervisor",
    "requester",
    "submitter",
];
/// And with `by` after them: measured by, signed by.
const DEEDS: [&str; 10] = [
    "measured",
    "performed",
    "created",
    "signed",
    "reviewed",
    "approved",
    "made",
    "run",
    "registered",
    "prepared",
];

/// The findings about a column as metadata of its field. `heading` is as the file has it.
pub(super) fn of(heading: &str, arrays: &[&ArrayRef]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    if let Some(unit) = unit(heading) {
        found.insert(UNIT_KEY.to_owned(), unit.to_owned());
    }
    let words = words(heading);
    if let Some(kind) = kind(&words, arrays) {
        if ["email", "person"].contains(&kind) {
            found.insert(format!("{PROPOSED_PREFIX}pii"), true.to_string());
        }
        found.insert(KIND_KEY.to_owned(), kind.to_owned());
    }
    found
}

fn kind(words: &[String], arrays: &[&ArrayRef]) -> Option<&'static str> {
    let has = |word: &str| words.iter().any(|own| own == word);
    let is_number = arrays.iter().any(|array| array.data_type().is_numeric());
    let is_plate = (has("plate")
        && words
            .iter()
            .all(|word| ["plate", "id", "barcode", "name", "number", "no", "nr"].contains(&word.as_str())))
        || words == ["barcode"];
    if is_plate && (is_number || !texts(arrays).is_empty()) {
        return Some("plate");
    }
    let values = texts(arrays);
    if values.is_empty() {
        return None;
    }
    let most = |test: fn(&str) -> bool| {
        let those = values.iter().filter(|value| test(value)).count();
        those as f64 >= SHARE * values.len() as f64
    };
    let different = values.iter().collect::<BTreeSet<_>>().len();
    if most(|value| value.starts_with("InChI=1")) {
        Some("inchi")
    } else if most(is_inchi_key) {
        Some("inchi_key")
    } else if most(is_email) {
        Some("email")
    } else if most(is_well) && (has("well") || has("wells") || different >= WELLS_MIN) {
        Some("well")
    } else if most(is_smiles) && (has("smiles") || most(is_telling_smiles)) {
        Some("smiles")
    } else if is_about_people(words) && most(is_name) {
        Some("person")
    } else {
        None
    }
}

/// The first values that are texts and not empty.
fn texts<'a>(arrays: &[&'a ArrayRef]) -> Vec<&'a str> {
    let of_text = arrays.iter().filter(|array| *array.data_type() == DataType::Utf8);
    let values = of_text.flat_map(|array| array.as_string::<i32>().iter().flatten());
    values
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .take(VALUES_MAX)
        .collect()
}

/// The words of a heading in small letters: `plateID`, `Plate ID` and `plate_id` are the same two.
fn words(heading: &str) -> Vec<String> {
    let bare = heading.split(['(', '[']).next().unwrap_or(heading);
    let mut words: Vec<String> = Vec::new();
    let (mut in_word, mut was_small) = (false, false);
    for letter in bare.chars() {
        if !letter.is_alphabetic() {
            in_word = false;
            continue;
        }
        let begins = !in_word || (was_small && letter.is_uppercase());
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
        (in_word, was_small) = (true, letter.is_lowercase());
    }
    words
}

fn is_about_people(words: &[String]) -> bool {
    let named = words.iter().any(|word| PEOPLE.contains(&word.as_str()));
    let did = words
        .windows(2)
        .any(|pair| matches!(pair, [deed, by] if by == "by" && DEEDS.contains(&deed.as_str())));
    let id_only = words.last().is_some_and(|word| word == "id" || word == "count");
    (named || did) && !id_only
}

fn is_name(value: &str) -> bool {
    value.chars().any(char::is_alphabetic)
        && value.chars().count() <= 60
        && value
            .chars()
            .all(|letter| letter.is_alphabetic() || " .,'’-_".contains(letter))
}

fn is_email(value: &str) -> bool {
    let Some((who, domain)) = value.split_once('@') else {
        return false;
    };
    let fits = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|letter| letter.is_alphanumeric() || "._%+-".contains(letter))
    };
    fits(who) && fits(domain) && domain.contains('.') && !domain.ends_with('.')
}

/// 14 letters, 10 letters and one, joined by hyphens (InChI Trust, technical manual 1.06).
fn is_inchi_key(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    parts.iter().map(|part| part.len()).eq([14, 10, 1])
        && value.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
}

fn is_telling_smiles(value: &str) -> bool {
    value.len() >= PLAIN_LENGTH && value.contains(['=', '#', '(', '[', '1']) && is_smiles(value)
}

/// The unit in brackets behind a heading: `Conc. (µM)`, `Temp [°C]`.
fn unit(heading: &str) -> Option<&str> {
    let trimmed = heading.trim();
    let opening = match trimmed.chars().last()? {
        ')' => '(',
        ']' => '[',
        _ => return None,
    };
    let (name, inside) = trimmed.get(..trimmed.len() - 1)?.rsplit_once(opening)?;
    let unit = inside.trim();
    (!name.trim().is_empty() && is_unit(unit)).then_some(unit)
}

/// Factors of symbols with powers: `mg/mL`, `µmol·min⁻¹`, `1/s`, `h-1`.
fn is_unit(text: &str) -> bool {
    let mut factors = 0;
    let all = text
        .split(['/', '·', '*', ' ', '.'])
        .filter(|part| !part.is_empty())
        .all(|part| {
            let symbol =
                part.trim_end_matches(|letter: char| letter.is_ascii_digit() || "^-+⁻⁰¹²³⁴⁵⁶⁷⁸⁹".contains(letter));
            factors += usize::from(!symbol.is_empty());
            (symbol.is_empty() && part == "1") || is_symbol(symbol)
        });
    all && factors > 0
}

fn is_symbol(symbol: &str) -> bool {
    /// With prefixes.
    const BASES: [&str; 21] = [
        "g", "m", "mol", "M", "L", "l", "s", "K", "V", "A", "W", "J", "N", "Hz", "Pa", "bar", "Da", "eV", "cal", "AU",
        "U",
    ];
    /// As they are.
    const WHOLE: [&str; 33] = [
        "%", "‰", "ppm", "ppb", "ppt", "min", "h", "hr", "d", "wt%", "vol%", "°C", "°F", "ºC", "°", "deg", "Å", "psi",
        "atm", "mmHg", "Torr", "rpm", "xg", "eq", "equiv", "mol%", "RFU", "RLU", "RU", "OD", "IU", "cfu", "cells",
    ];
    const PREFIXES: [&str; 11] = ["", "p", "n", "µ", "μ", "u", "m", "c", "d", "k", "M"];
    let prefixed = PREFIXES.iter().filter_map(|prefix| symbol.strip_prefix(prefix));
    WHOLE.contains(&symbol) || prefixed.into_iter().any(|base| BASES.contains(&base))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn found(heading: &str, values: &[&str]) -> Option<String> {
        let array: ArrayRef = Arc::new(StringArray::from(values.to_vec()));
        of(heading, &[&array]).remove(KIND_KEY)
    }

    #[test]
    fn values_tell_what_a_column_holds() {
        for (heading, values, kind) in [
            ("Well", vec!["A1", "H12"], Some("well")),
            (
                "Position",
                vec!["A1", "A2", "A3", "A4", "B1", "B2", "B3", "B4"],
                Some("well"),
            ),
            ("Position", vec!["A1", "A2"], None),
            ("plateID", vec!["P-1"], Some("plate")),
            ("Plate Barcode", vec!["0012345"], Some("plate")),
            ("plate reader", vec!["Infinite"], None),
            ("smiles", vec!["CCO", "c1ccccc1"], Some("smiles")),
            (
                "structure",
                vec!["CC(=O)Nc1ccc(O)cc1", "O=C(O)c1ccccc1"],
                Some("smiles"),
            ),
            ("answer", vec!["NO", "CO", "NO"], None),
            ("id", vec!["InChI=1S/CH4/h1H4"], Some("inchi")),
            ("key", vec!["VNWKTOKETHGBQD-UHFFFAOYSA-N"], Some("inchi_key")),
            ("contact", vec!["ada@lab.example", "b.c+d@x.org"], Some("email")),
            ("remark", vec!["see ada@lab.example"], None),
            ("Operator", vec!["mara", "Jon O'Neil", "Dr. Å. Berg"], Some("person")),
            ("Measured by", vec!["Zoë Lind"], Some("person")),
            ("user_id", vec!["mara"], None),
            ("operator", vec!["station 4", "station 5"], None),
            ("sample", vec!["mara", "jon"], None),
            ("operator", vec!["", " "], None),
        ] {
            assert_eq!(found(heading, &values).as_deref(), kind, "{heading}: {values:?}");
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        assert_eq!(of("plate", &[&numbers])[KIND_KEY], "plate");
        let names: ArrayRef = Arc::new(StringArray::from(vec!["mara"]));
        assert_eq!(of("operator", &[&names])["labhouse.proposed.pii"], "true");
        assert!(of("well", &[]).is_empty());
    }

    #[test]
    fn units_are_read_behind_headings_only_where_they_are_units() {
        for (heading, wanted) in [
            ("Conc. (µM)", Some("µM")),
            ("Temp [°C]", Some("°C")),
            ("rate (µmol·min⁻¹)", Some("µmol·min⁻¹")),
            ("dose (mg/kg)", Some("mg/kg")),
            ("k (1/s)", Some("1/s")),
            ("Yield (%)", Some("%")),
            ("Volume (mL) ", Some("mL")),
            ("Read 1 (450)", None),
            ("Sample (blank)", None),
            ("Signal (raw)", None),
            ("(mM)", None),
            ("Channel [FAM]", None),
            ("mM", None),
        ] {
            assert_eq!(unit(heading), wanted, "{heading}");
        }
    }
}
