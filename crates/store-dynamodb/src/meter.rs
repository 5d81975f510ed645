//! Counts what the table was asked for: calls and capacity units, as DynamoDB itself reports them.

use std::sync::atomic::{AtomicU64, Ordering};

/// DynamoDB counts in halves; whole numbers of milliunits add up without error.
const MILLIUNITS: f64 = 1000.0;

/// Shared counters of one store; every clone of the store adds to the same ones.
#[derive(Debug, Default)]
pub struct Metered {
    calls: AtomicU64,
    read_milliunits: AtomicU64,
    write_milliunits: AtomicU64,
}

/// What was used so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Requests sent, each page and each repetition of our own counted; the SDK's own repetitions are not.
    pub calls: u64,
    /// Read capacity units (4 KB, strongly consistent).
    pub read_units: f64,
    /// Write capacity units (1 KB), index writes included.
    pub write_units: f64,
}

impl Metered {
    pub(crate) fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, units: Option<f64>) {
        self.read_milliunits.fetch_add(milliunits(units), Ordering::Relaxed);
    }

    pub(crate) fn write(&self, units: Option<f64>) {
        self.write_milliunits.fetch_add(milliunits(units), Ordering::Relaxed);
    }

    /// What was used since the store was made.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            calls: self.calls.load(Ordering::Relaxed),
            read_units: units(self.read_milliunits.load(Ordering::Relaxed)),
            write_units: units(self.write_milliunits.load(Ordering::Relaxed)),
        }
    }
}

impl Usage {
    /// What was used since an earlier look.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            calls: self.calls - earlier.calls,
            read_units: self.read_units - earlier.read_units,
            write_units: self.write_units - earlier.write_units,
        }
    }
}

fn milliunits(units: Option<f64>) -> u64 {
    // A float that is negative or no number becomes 0, one that is too large the largest.
    (units.unwrap_or_default() * MILLIUNITS).round() as u64
}

fn units(milliunits: u64) -> f64 {
    milliunits as f64 / MILLIUNITS
}
