//! Which items of a partition a query reads.

/// Which sort keys.
#[derive(Debug, Clone)]
pub(crate) enum Span {
    All,
    Prefix(String),
    /// Both ends included.
    Between(String, String),
}

impl Span {
    pub(super) fn contains(&self, sk: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => sk.starts_with(prefix),
            Self::Between(first, last) => (first.as_str()..=last.as_str()).contains(&sk),
        }
    }
}

/// Which items of a partition, in order of their sort keys.
#[derive(Debug, Clone)]
pub(crate) struct Range {
    pub(crate) pk: String,
    pub(crate) span: Span,
    /// Only what comes after this sort key.
    pub(crate) after: Option<String>,
    pub(crate) descending: bool,
    pub(crate) consistent: bool,
}

impl Range {
    /// What starts with `prefix`, strongly consistent.
    pub(crate) fn of(pk: String, prefix: &str) -> Self {
        Self { span: Span::Prefix(prefix.to_owned()), ..Self::all(pk) }
    }

    /// A whole partition, strongly consistent.
    pub(crate) fn all(pk: String) -> Self {
        Self { pk, span: Span::All, after: None, descending: false, consistent: true }
    }

    pub(crate) fn after(self, after: Option<String>) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn newest_first(self) -> Self {
        Self { descending: true, ..self }
    }
}
