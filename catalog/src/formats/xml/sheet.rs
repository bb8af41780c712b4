//! Excel's XML of 2003, which many instruments write under the name `.xls` or `.xml`: sheets of rows of cells.

use crate::formats::grid::Grid;
use crate::formats::xml::tree::{Element, Tree};
use crate::formats::{Limits, ReadError};

/// A sheet and its name.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) name: String,
    pub(super) grid: Grid,
}

/// The sheets; `None` when the tree is no such workbook.
///
/// # Errors
/// `TooLarge`, as any grid.
pub(super) fn sheets(tree: &Tree, limits: &Limits) -> Result<Option<Vec<Sheet>>, ReadError> {
    let is_workbook = tree
        .elements
        .first()
        .is_some_and(|root| tree.name(root.path) == "Workbook");
    let worksheets = tree
        .elements
        .iter()
        .filter(|element| tree.name(element.path) == "Worksheet");
    if !is_workbook {
        return Ok(None);
    }
    let mut sheets = Vec::new();
    for worksheet in worksheets {
        let mut grid = Grid::default();
        let mut line = 0u64;
        for row in below(tree, worksheet, "Table").flat_map(|table| below(tree, table, "Row")) {
            let at = index(row).map_or(line + 1, |at| at as u64);
            if at > line + 1 {
                // Rows left out are one blank row: it parts blocks all the same.
                grid.end_row(line + 1, limits)?;
            }
            line = at;
            let mut column = 1;
            for cell in below(tree, row, "Cell") {
                let place = index(cell).unwrap_or(column);
                if place > limits.columns_max {
                    return Err(ReadError::TooLarge {
                        what: "the number of columns",
                        seen: format!("{place} (row {line})"),
                        max: limits.columns_max as u64,
                    });
                }
                for _ in column..place {
                    grid.push_cell("", line, limits)?;
                }
                let data = below(tree, cell, "Data").next();
                grid.push_cell(data.map_or("", |data| data.text.as_str()), line, limits)?;
                column = place + 1;
            }
            grid.end_row(line, limits)?;
        }
        let name = worksheet.attributes.iter().find(|(key, _)| key == "Name");
        sheets.push(Sheet {
            name: name.map_or_else(|| "Sheet".to_owned(), |(_, name)| name.clone()),
            grid,
        });
    }
    Ok(Some(sheets))
}

fn below<'t>(tree: &'t Tree, element: &'t Element, name: &'t str) -> impl Iterator<Item = &'t Element> {
    let children = element.children.iter().filter_map(|child| tree.elements.get(*child));
    children.filter(move |child| tree.name(child.path) == name)
}

/// Where a row or cell stands, from 1, when some before it are left out.
fn index(element: &Element) -> Option<usize> {
    let index = element.attributes.iter().find(|(key, _)| key == "Index")?;
    index.1.parse().ok().filter(|index| *index > 0)
}
