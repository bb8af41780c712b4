//! XML text to a tree, within bounds. No entity but the five of the standard and character references is resolved;
//! nothing outside of the file is ever read.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use crate::formats::{Limits, ReadError};

/// Elements of one file. Each costs some hundred bytes, so this is four hundred megabytes.
const ELEMENTS_MAX: usize = 1 << 22;
/// Different places of elements in the tree; more are names made of values.
const PATHS_MAX: usize = 20_000;

/// An element.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) parent: Option<usize>,
    /// Place in [`Tree::paths`].
    pub(super) path: usize,
    /// Local names and values.
    pub(super) attributes: Vec<(String, String)>,
    /// All text directly inside, trimmed.
    pub(super) text: String,
    pub(super) children: Vec<usize>,
}

/// A document.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// In document order; the root is the first.
    pub(super) elements: Vec<Element>,
    /// The local name of each place: a chain of names from the root.
    paths: Vec<String>,
}

impl Tree {
    /// # Errors
    /// `Damaged` for what is not well formed, `TooLarge`, `Unsupported` for entities of the file's own.
    pub(super) fn parse(text: &str, limits: &Limits) -> Result<Self, ReadError> {
        let mut reader = Reader::from_str(text);
        let mut tree = Self::default();
        let mut index: HashMap<(Option<usize>, String), usize> = HashMap::new();
        let mut open: Vec<usize> = Vec::new();
        loop {
            let event = reader
                .read_event()
                .map_err(|error| damaged(&error.to_string(), reader.error_position(), text))?;
            let at = reader.buffer_position();
            match event {
                Event::Start(start) => {
                    let element = tree.add(&start, open.last().copied(), &mut index, limits, (at, text))?;
                    open.push(element);
                    if open.len() > limits.nesting_max {
                        return Err(too_large("the nesting of the XML", "deeper", limits.nesting_max));
                    }
                }
                Event::Empty(start) => {
                    tree.add(&start, open.last().copied(), &mut index, limits, (at, text))?;
                }
                Event::End(_) => {
                    let closed = open.pop();
                    if let Some(element) = closed.and_then(|closed| tree.elements.get_mut(closed)) {
                        element.text = element.text.trim().to_owned();
                    }
                }
                Event::Text(piece) => tree.text(open.last(), &piece.xml10_content(), limits)?,
                Event::CData(piece) => tree.text(open.last(), &piece.xml10_content(), limits)?,
                Event::GeneralRef(name) => {
                    let resolved = match name.resolve_char_ref() {
                        Ok(Some(character)) => Some(character.to_string()),
                        Ok(None) => resolve_predefined_entity(&name.xml10_content()).map(str::to_owned),
                        Err(_) => None,
                    };
                    let Some(resolved) = resolved else {
                        return Err(entity(&name.xml10_content()));
                    };
                    tree.text(open.last(), &resolved, limits)?;
                }
                Event::DocType(doctype) => {
                    if doctype.to_uppercase().contains("<!ENTITY") {
                        return Err(entity("declared in its DOCTYPE"));
                    }
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        if let Some(element) = open.last().and_then(|at| tree.elements.get(*at)) {
            let name = tree.name(element.path);
            return Err(ReadError::Damaged {
                format: "XML",
                why: format!("the file ends before </{name}>"),
            });
        }
        Ok(tree)
    }

    pub(super) fn name(&self, path: usize) -> &str {
        self.paths.get(path).map_or("", String::as_str)
    }

    fn add(
        &mut self,
        start: &BytesStart<'_>,
        parent: Option<usize>,
        index: &mut HashMap<(Option<usize>, String), usize>,
        limits: &Limits,
        place: (u64, &str),
    ) -> Result<usize, ReadError> {
        if self.elements.len() >= ELEMENTS_MAX {
            return Err(too_large("the number of XML elements", "larger", ELEMENTS_MAX));
        }
        let name = start.local_name().into_inner().to_owned();
        let parent_path = parent
            .and_then(|parent| self.elements.get(parent))
            .map(|parent| parent.path);
        let path = match index.get(&(parent_path, name.clone())) {
            Some(path) => *path,
            None => {
                if self.paths.len() >= PATHS_MAX {
                    return Err(too_large("the number of different XML elements", "larger", PATHS_MAX));
                }
                self.paths.push(name.clone());
                index.insert((parent_path, name), self.paths.len() - 1);
                self.paths.len() - 1
            }
        };
        let mut attributes: Vec<(String, String)> = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| damaged(&error.to_string(), place.0, place.1))?;
            let key = attribute.key;
            if key.into_inner() == "xmlns" || key.prefix().is_some_and(|prefix| prefix.into_inner() == "xmlns") {
                continue;
            }
            let value = attribute
                .normalized_value(XmlVersion::Explicit1_0)
                .map_err(|error| damaged(&error.to_string(), place.0, place.1))?;
            check_cell(value.len(), limits)?;
            attributes.push((key.local_name().into_inner().to_owned(), value.trim().to_owned()));
            if attributes.len() > limits.columns_max {
                return Err(too_large("the number of attributes", "larger", limits.columns_max));
            }
        }
        let at = self.elements.len();
        self.elements.push(Element {
            parent,
            path,
            attributes,
            text: String::new(),
            children: Vec::new(),
        });
        if let Some(parent) = parent.and_then(|parent| self.elements.get_mut(parent)) {
            parent.children.push(at);
        }
        Ok(at)
    }

    fn text(&mut self, open: Option<&usize>, piece: &str, limits: &Limits) -> Result<(), ReadError> {
        if let Some(element) = open.and_then(|at| self.elements.get_mut(*at)) {
            check_cell(element.text.len() + piece.len(), limits)?;
            element.text.push_str(piece);
        }
        Ok(())
    }
}

fn check_cell(bytes: usize, limits: &Limits) -> Result<(), ReadError> {
    if bytes > limits.cell_bytes_max {
        return Err(too_large(
            "a text in the XML",
            &format!("{bytes} bytes"),
            limits.cell_bytes_max,
        ));
    }
    Ok(())
}

fn too_large(what: &'static str, seen: &str, max: usize) -> ReadError {
    ReadError::TooLarge {
        what,
        seen: seen.to_owned(),
        max: max as u64,
    }
}

fn entity(name: &str) -> ReadError {
    ReadError::Unsupported {
        seen: format!("XML with an entity of its own ({name}), which is not resolved"),
    }
}

fn damaged(why: &str, at: u64, text: &str) -> ReadError {
    let at = usize::try_from(at).unwrap_or(usize::MAX).min(text.len());
    let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
    ReadError::Damaged {
        format: "XML",
        why: format!("line {line}: {why}"),
    }
}
