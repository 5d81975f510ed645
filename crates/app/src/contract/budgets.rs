//! Budgets.

use jiff::SignedDuration;

use super::{account_id, at};
use crate::{
    model::{Budget, Spender, Spent},
    ports::BudgetStore,
};

/// What `BudgetStore` promises. `another` is the same store, as another instance has it.
pub async fn budget_store(store: &dyn BudgetStore, another: &dyn BudgetStore) {
    let budget = Budget { burst: 3, per_minute: 60 };
    let zero = SignedDuration::ZERO;
    let checks = Spender::Checks(account_id(1));
    for instance in [store, another, store] {
        let spent = instance.spend(&checks, budget, zero, at(0)).await.unwrap();
        assert_eq!(spent, Spent::After(zero), "so many are given, whichever instance is asked");
    }
    for instance in [store, another] {
        let refused = instance.spend(&checks, budget, zero, at(0)).await.unwrap();
        let wait = SignedDuration::from_secs(1);
        assert_eq!(refused, Spent::Refused { retry_after: wait }, "and no more, whichever is asked");
    }
    for spender in [
        Spender::Checks(account_id(2)),
        Spender::Texts(account_id(1)),
        Spender::NewFeeds(account_id(1)),
        Spender::Refreshes(account_id(1)),
        Spender::Host("a.example".to_owned()),
        Spender::Host("b.example".to_owned()),
    ] {
        let spent = store.spend(&spender, budget, zero, at(0)).await.unwrap();
        assert_eq!(spent, Spent::After(zero), "each has a budget of its own: {spender:?}");
    }
    let patient = store.spend(&checks, budget, SignedDuration::from_secs(5), at(0)).await.unwrap();
    assert_eq!(patient, Spent::After(SignedDuration::from_secs(1)), "who is patient gets the next one");
    let refused = another.spend(&checks, budget, zero, at(1)).await.unwrap();
    assert_eq!(refused, Spent::Refused { retry_after: SignedDuration::from_secs(1) }, "which is spent then");
    assert_eq!(another.spend(&checks, budget, zero, at(2)).await.unwrap(), Spent::After(zero), "it fills up again");

    let crowd = Spender::Host("crowd.example".to_owned());
    let asked = (0..40).map(|nth| {
        let instance = if nth % 2 == 0 { store } else { another };
        instance.spend(&crowd, budget, zero, at(0))
    });
    let given = futures::future::join_all(asked).await;
    let given = given.into_iter().filter(|spent| matches!(spent, Ok(Spent::After(_)))).count();
    assert!((1..=3).contains(&given), "never more than there are, however many ask at once: {given}");
}
