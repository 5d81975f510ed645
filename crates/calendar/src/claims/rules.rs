//! The rules about echoes, each of which tests may switch off.

/// Which rules are in force; tests switch single ones off to see that each is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// 1b.
    pub(crate) marks: bool,
    /// 1c.
    pub(crate) clean_counts: bool,
    /// 1d; off: whatever shows while somebody else claims it may be ours.
    pub(crate) reads_count: bool,
    /// 2: a mark that goes is judged anew.
    pub(crate) marks_go: bool,
    /// 3a, 4: sites are asked.
    pub(crate) inquiries: bool,
    /// 3b.
    pub(crate) witness_of_possible: bool,
    /// 3c.
    pub(crate) witness: bool,
    /// 4: one at a time.
    pub(crate) one_at_a_time: bool,
    /// 5: not while a mass vanish is in force.
    pub(crate) mass_vanish_waits: bool,
    /// 6: a claim has to go on for a while.
    pub(crate) settle: bool,
    /// 7.
    pub(crate) echoes_are_asked_anew: bool,
    /// 8.
    pub(crate) echoes_may_stand: bool,
    /// 9.
    pub(crate) settle_doubles: bool,
    /// 10.
    pub(crate) memory: bool,
    /// A question to a silent site is taken back.
    pub(crate) taken_back: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            marks: true,
            clean_counts: true,
            reads_count: true,
            marks_go: true,
            inquiries: true,
            witness_of_possible: true,
            witness: true,
            one_at_a_time: true,
            mass_vanish_waits: true,
            settle: true,
            echoes_are_asked_anew: true,
            echoes_may_stand: true,
            settle_doubles: true,
            memory: true,
            taken_back: true,
        }
    }
}
