//! Every figure that a client may meet, in one table for the document and the README; refusals take the same constants.

use calmesh_app::limits::{
    BLOCKS_TOLD, DAYS_AHEAD, DAYS_BACK, LABEL_PREFIX_MOST, LIMITS, NAME_MOST, NIGHTS_LISTED, NIGHTS_TOLD, RUNS_TOLD,
    SELECTION_MOST, STAYS_TOLD, SUMMARY_MOST, TEXT_MOST, TURNOVER_MOST, WARNINGS_TOLD, grouped,
};
use calmesh_calendar::NAMED_MOST;

use crate::{
    availability::INTERVALS_MOST,
    body::BODY_LIMIT,
    explain::{CLAIMS_MOST, LINKS_NAMED},
    idempotency::KEY_MOST,
    json::DEPTH_MOST,
    options::RateLimit,
    query::LIMIT_MOST,
};

/// What is bounded, and by what.
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) figures: Vec<u64>,
    /// How the figures are told.
    pub(crate) most: String,
}

fn row(what: impl Into<String>, most: impl TryInto<u64>, of: &str) -> Row {
    let figure = most.try_into().unwrap_or(u64::MAX);
    Row { what: what.into(), figures: vec![figure], most: format!("{}{of}", grouped(figure)) }
}

/// All of them, in the order in which they are told.
pub(crate) fn table() -> Vec<Row> {
    let rate = RateLimit::default();
    let per_second = u64::from(rate.per_second.get());
    let burst = u64::from(rate.burst.get());
    let (back, ahead) = (u64::from(DAYS_BACK.unsigned_abs()), u64::from(DAYS_AHEAD.unsigned_abs()));
    let things = LIMITS.iter().map(|limit| row(format!("{} of {}", limit.things, limit.one()), limit.most, ""));
    let texts = [
        row("a name", NAME_MOST, " characters"),
        row("an own block's summary", SUMMARY_MOST, " characters"),
        row("a label prefix", LABEL_PREFIX_MOST, " characters"),
        row("any other text", TEXT_MOST, " characters"),
        row("an Idempotency-Key", KEY_MOST, " characters"),
        row("turnover nights", TURNOVER_MOST, ""),
        row("properties that a token or an extra link names", SELECTION_MOST, ""),
    ];
    let requests = [
        Row {
            what: "requests of an account".to_owned(),
            figures: vec![per_second, burst],
            most: format!("{} a second, {} at once", grouped(per_second), grouped(burst)),
        },
        row("a body", BODY_LIMIT >> 20, " MiB"),
        row("arrays and objects of a body in each other", DEPTH_MOST, ""),
        row("`limit` of a list", LIMIT_MOST, " items"),
        row("`to` of availability, after `from`", ahead, " days"),
    ];
    let told = [
        Row {
            what: "a list of nights".to_owned(),
            figures: vec![back, ahead],
            most: format!("from {back} days back to {ahead} ahead"),
        },
        row("blocks named for one thing", NAMED_MOST, ""),
        row("links named for one claim", LINKS_NAMED, ""),
        row("nights of a hold or conflict", NIGHTS_LISTED, ""),
        row("intervals of availability", INTERVALS_MOST, ""),
        row("claims of an explained night", CLAIMS_MOST, ""),
        row("blocks of a check", BLOCKS_TOLD, ""),
        row("warnings of a check", WARNINGS_TOLD, ""),
        row("stays that an entry of the activity names, of each part", STAYS_TOLD, ""),
        row("nights of an entry of the activity", NIGHTS_TOLD, ""),
        row("runs of nights of a conflict or finding there", RUNS_TOLD, ""),
    ];
    things.chain(texts).chain(requests).chain(told).collect()
}

/// The table as Markdown.
pub(crate) fn markdown() -> String {
    let rows = table().into_iter().map(|row| format!("| {} | {} |\n", row.what, row.most));
    format!("| what | at most |\n| --- | --- |\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

    #[test]
    fn the_readme_tells_the_limits_that_the_code_has() {
        let readme = std::fs::read_to_string(README).unwrap();
        let (begin, end) = ("<!-- limits, written by a test -->\n", "<!-- end of limits -->\n");
        let (before, rest) = readme.split_once(begin).expect("the README has a place for the limits");
        let (_, after) = rest.split_once(end).unwrap();
        let expected = format!("{before}{begin}{}{end}{after}", markdown());
        if std::env::var("CALMESH_GOLDENS").as_deref() == Ok("write") {
            std::fs::write(README, &expected).unwrap();
            return;
        }
        assert_eq!(readme, expected, "run with CALMESH_GOLDENS=write");
    }

    /// Figures behind words that bound something, in a text of the document.
    fn bounds_in(text: &str) -> Vec<u64> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |word: &str| word.trim_matches(|c: char| !c.is_ascii_digit()).replace(',', "").parse().ok();
        let bounds = |at: usize| {
            let (before, after) = (words.get(at.wrapping_sub(1)), words.get(at + 1..).unwrap_or_default().join(" "));
            let begins = ["days back", "days ahead", "days at most"].iter().any(|words| after.starts_with(words));
            begins || matches!(before, Some(&"first" | &"most"))
        };
        (0..words.len()).filter(|at| bounds(*at)).filter_map(|at| number(words[at])).collect()
    }

    fn texts(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, field)| match field {
                Value::String(text) if name == "description" || name == "summary" => found.push(text.clone()),
                other => texts(other, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
            _ => {}
        }
    }

    #[test]
    fn the_document_tells_no_other_figures() {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json")).unwrap();
        let mut found = Vec::new();
        texts(&serde_json::from_str(&document).unwrap(), &mut found);
        let known: BTreeSet<u64> = table().into_iter().flat_map(|row| row.figures).collect();
        let told: Vec<(u64, &String)> =
            found.iter().flat_map(|text| bounds_in(text).into_iter().map(move |figure| (figure, text))).collect();
        assert!(told.len() > 8, "the document tells bounds: {told:?}");
        for (figure, text) in told {
            assert!(known.contains(&figure), "{figure} is no limit of the table: {text}");
        }
    }
}
