//! What a change of a property replaced, as pages of lines: a word that says what it is, and the record as it was.

use std::collections::BTreeMap;

use calmesh_app::{
    model::{Connection, Property, Replaced},
    ports::StoreError,
};
use calmesh_calendar::{Block, ConnectionClaims};

use crate::{doc::Document, item, journal, schema::attr, table::Item};

const PROPERTY: &str = "PRP";
const CONNECTION: &str = "CON";
const BLOCK: &str = "BLK";
const CLAIMS: &str = "CLM";
const NEW_CONNECTION: &str = "+CON";
const NEW_BLOCK: &str = "+BLK";
const NEW_CLAIMS: &str = "+CLM";

/// A page may be written down in a staged item first, with escapes, and that takes 400 KB.
const PAGE_BYTES: usize = 200_000;

fn unreadable() -> StoreError {
    StoreError::Corrupt { what: "what a change of a property replaced".to_owned() }
}

/// The pages of what a change replaced.
pub(crate) fn pages(replaced: &Replaced) -> Result<Vec<String>, StoreError> {
    let mut lines = vec![format!("{PROPERTY} {}", replaced.property.encode()?)];
    for connection in &replaced.connections {
        lines.push(format!("{CONNECTION} {}", connection.encode()?));
    }
    for block in &replaced.blocks {
        lines.push(format!("{BLOCK} {}", block.encode()?));
    }
    for (connection, claims) in &replaced.claims {
        lines.push(format!("{CLAIMS} {connection} {}", claims.encode()?));
    }
    lines.extend(replaced.new_connections.iter().map(|id| format!("{NEW_CONNECTION} {id}")));
    lines.extend(replaced.new_blocks.iter().map(|id| format!("{NEW_BLOCK} {id}")));
    lines.extend(replaced.new_claims.iter().map(|id| format!("{NEW_CLAIMS} {id}")));
    Ok(journal::paged(lines, PAGE_BYTES))
}

/// What changes replaced, from all pages of each.
pub(crate) fn read(pages: &[Item]) -> Result<Vec<Replaced>, StoreError> {
    let mut changes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for page in pages {
        let (change, _) = item::get_text(page, attr::SK)?.rsplit_once('#').ok_or_else(unreadable)?;
        changes.entry(change).or_default().extend(item::get_text(page, attr::DOC)?.lines());
    }
    changes.into_iter().map(|(change, lines)| read_change(change, &lines)).collect()
}

fn read_change(change: &str, lines: &[&str]) -> Result<Replaced, StoreError> {
    let (at, revision) = change.split_once('#').ok_or_else(unreadable)?;
    let revision: u64 = revision.parse().map_err(|_| unreadable())?;
    let (mut connections, mut blocks, mut claims) = (Vec::new(), Vec::new(), BTreeMap::new());
    let (mut new_connections, mut new_blocks, mut new_claims) = (Vec::new(), Vec::new(), Vec::new());
    let mut property = None;
    for line in lines {
        let (what, told) = line.split_once(' ').ok_or_else(unreadable)?;
        match what {
            PROPERTY => property = Some(Property { revision: revision.saturating_sub(1), ..Property::decode(told)? }),
            CONNECTION => connections.push(Connection::decode(told)?),
            BLOCK => blocks.push(Block::decode(told)?),
            CLAIMS => {
                let (connection, told) = told.split_once(' ').ok_or_else(unreadable)?;
                claims.insert(connection.parse().map_err(|_| unreadable())?, ConnectionClaims::decode(told)?);
            }
            NEW_CONNECTION => new_connections.push(told.parse().map_err(|_| unreadable())?),
            NEW_BLOCK => new_blocks.push(told.parse().map_err(|_| unreadable())?),
            NEW_CLAIMS => new_claims.push(told.parse().map_err(|_| unreadable())?),
            _ => return Err(unreadable()),
        }
    }
    let property = property.ok_or_else(unreadable)?;
    let at = at.parse().map_err(|_| unreadable())?;
    Ok(Replaced { at, revision, property, connections, blocks, claims, new_connections, new_blocks, new_claims })
}
