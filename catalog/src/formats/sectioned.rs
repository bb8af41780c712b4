//! Texts that are brought to a usual form before their cells are sought: sections between tags that are no XML (NanoString's RCC),
//! heads that say where they end (LabVIEW), sequences (FASTA).

use crate::formats::split::lines;

/// Sections that make a file one of sections; XML has one root.
const SECTIONS_MIN: usize = 2;

/// `<Header>`, lines, `</Header>`, `<Codes>`, lines, `</Codes>` with `[Header]` for the first tag and a blank line for the last;
/// `None` where a tag stands beside something else, or within another one.
pub(super) fn untagged(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('<') {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut open: Option<&str> = None;
    let (mut sections, mut filled) = (0, 0);
    for (_, line) in lines(text) {
        let trimmed = line.trim();
        let tag = trimmed.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
        match (tag, open) {
            (Some(tag), Some(name)) => {
                if tag.strip_prefix('/') != Some(name) {
                    return None;
                }
                sections += 1;
                open = None;
            }
            (Some(tag), None) => {
                let is_name = |character: char| character.is_alphanumeric() || character == '_';
                if tag.is_empty() || !tag.chars().all(is_name) {
                    return None;
                }
                open = Some(tag);
                out.push_str(&format!("[{tag}]"));
            }
            (None, None) if trimmed.is_empty() => {}
            (None, None) => return None,
            (None, Some(_)) => {
                if trimmed.starts_with('<') {
                    return None;
                }
                filled += usize::from(trimmed.contains([',', '\t', ';']));
                out.push_str(line);
            }
        }
        out.push('\n');
    }
    (open.is_none() && sections >= SECTIONS_MIN && filled > 0).then_some(out)
}

/// `>id what it is` and lines of letters, as a table with a row for each sequence; `None` for any other text.
pub(super) fn sequences(text: &str) -> Option<Vec<[String; 3]>> {
    let mut all: Vec<[String; 3]> = Vec::new();
    for (_, line) in lines(text).filter(|(_, line)| !line.trim().is_empty()) {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('>') {
            let (id, what) = head.split_once(char::is_whitespace).unwrap_or((head, ""));
            if id.is_empty() {
                return None;
            }
            all.push([id.to_owned(), what.trim().to_owned(), String::new()]);
            continue;
        }
        let is_letters = line
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || b"*-".contains(&byte));
        let [_, _, sequence] = all.last_mut()?;
        if !is_letters {
            return None;
        }
        sequence.push_str(line);
    }
    let whole = all.iter().all(|[_, _, sequence]| !sequence.is_empty());
    (whole && !all.is_empty()).then_some(all)
}

/// Whether a row's one cell says that the head of the file ends here: `***End_of_Header***`, `# END HEADER`.
pub(super) fn ends_head(filled: &[&str]) -> bool {
    let [only] = filled else { return false };
    let words: Vec<String> = only
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    matches!(
        words.as_slice(),
        ["end", "of", "header"] | ["end", "header"] | ["header", "end"] | ["endofheader"] | ["endheader"]
    )
}
