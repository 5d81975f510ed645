use std::{
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock},
};

/// A client of one of AWS's services, made when it is first asked for something. To make one, its SDK reads the
/// endpoints of all regions, which in a function is a good part of the start; so one that may not be needed waits.
/// Clones share the one client.
pub struct OnDemand<C>(Arc<LazyLock<C, Make<C>>>);

type Make<C> = Box<dyn FnOnce() -> C + Send>;

impl<C> OnDemand<C> {
    #[must_use]
    pub fn new(make: impl FnOnce() -> C + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }
}

impl<C: Send + 'static> From<C> for OnDemand<C> {
    fn from(client: C) -> Self {
        Self::new(|| client)
    }
}

impl<C> Deref for OnDemand<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.0
    }
}

impl<C> Clone for OnDemand<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for OnDemand<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDemand")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_client_is_made_once_and_only_when_it_is_used() {
        let made = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&made);
        let client = OnDemand::new(move || counts.fetch_add(1, Ordering::Relaxed));
        let other = client.clone();
        assert_eq!(made.load(Ordering::Relaxed), 0);
        assert_eq!((*client, *other), (0, 0));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}
