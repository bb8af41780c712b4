//! One molfile, V2000 or V3000: whether it holds what it announces.

use std::borrow::Cow;

/// Lines of a molfile before its atoms: name, program, remark, counts.
pub(super) const HEAD_LINES: usize = 4;

/// Whether a whole molfile is a V3000 one.
///
/// # Errors
/// In words, when it holds less than its counts say.
pub(super) fn complete<L: AsRef<str>>(lines: &[L]) -> Result<bool, String> {
    let counts = lines.get(HEAD_LINES - 1).map_or("", |line| line.as_ref().trim_end());
    if counts.ends_with("V3000") {
        check_v3000(lines)?;
        return Ok(true);
    }
    check_v2000(lines, counts)?;
    Ok(false)
}

/// As many lines as the counts say.
fn check_v2000<L: AsRef<str>>(lines: &[L], counts: &str) -> Result<(), String> {
    let count = |range: std::ops::Range<usize>| counts.get(range)?.trim().parse::<usize>().ok();
    let (Some(atoms), Some(bonds)) = (count(0..3), count(3..6)) else {
        return Err(format!("its fourth line is no line of counts: {:?}", shown(counts)));
    };
    let held = lines.iter().filter(|line| line.as_ref().trim_end() != "M  END").count();
    if held < HEAD_LINES + atoms + bonds {
        return Err(format!(
            "it announces {atoms} atoms and {bonds} bonds, and ends before they are there"
        ));
    }
    Ok(())
}

/// As many atoms and bonds as the counts say, in one V3000 table of connections.
pub(super) fn check_v3000<L: AsRef<str>>(lines: &[L]) -> Result<(), String> {
    let body = lines.iter().filter_map(|line| line.as_ref().strip_prefix("M  V30 "));
    let (mut atoms, mut bonds) = (0usize, 0usize);
    let mut announced = None;
    let mut counting: Option<&mut usize> = None;
    let mut goes_on = false;
    for line in body {
        let line = line.trim();
        if goes_on {
            goes_on = line.ends_with('-');
            continue;
        }
        goes_on = line.ends_with('-');
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("COUNTS"), Some(first)) => {
                announced = first
                    .parse::<usize>()
                    .ok()
                    .zip(words.next().and_then(|word| word.parse::<usize>().ok()));
            }
            (Some("BEGIN"), Some("ATOM")) => counting = Some(&mut atoms),
            (Some("BEGIN"), Some("BOND")) => counting = Some(&mut bonds),
            (Some("BEGIN" | "END"), _) => counting = None,
            _ => {
                if let Some(counter) = counting.as_deref_mut() {
                    *counter += 1;
                }
            }
        }
    }
    if announced == Some((atoms, bonds)) {
        return Ok(());
    }
    Err(match announced {
        None => "it has no line of counts".to_owned(),
        Some((a, b)) => format!("it announces {a} atoms and {b} bonds, and holds {atoms} and {bonds}"),
    })
}

/// The beginning of a line, for a message.
pub(super) fn shown(line: &str) -> Cow<'_, str> {
    const CHARS: usize = 40;
    match line.char_indices().nth(CHARS) {
        Some((at, _)) => Cow::Owned(format!("{}…", line.get(..at).unwrap_or_default())),
        None => Cow::Borrowed(line),
    }
}
