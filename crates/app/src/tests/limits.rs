//! Limits hold also where several are at the last place at the same moment.

use calmesh_calendar::AccountId;

use super::world::*;
use crate::{
    App, LINKS_OVER_ALL, LinkError, NewLink, NewToken, Reach, TOKENS, TokenError, WantedScope,
    model::{Format, LinkScope, Scope},
    ports::*,
};

fn over_all() -> NewLink {
    NewLink { name: "all".to_owned(), scope: WantedScope::All, detail: None, format: Format::Nights }
}

fn a_token() -> NewToken {
    NewToken { name: "one".to_owned(), scope: Scope::Full, properties: None, expires_at: None }
}

async fn links_over_all(world: &World) -> usize {
    let page = PageRequest { limit: 200, after: None };
    let links = world.store.links(&world.account, page).await.unwrap().items;
    links.iter().filter(|link| link.deleted_at.is_none() && link.scope == LinkScope::All).count()
}

#[tokio::test]
async fn two_that_make_the_last_link_over_all_properties_at_once_do_not_make_two() {
    for nth in 1.. {
        let world = World::new().await;
        let reach = Reach::whole(world.account.clone());
        for _ in 1..LINKS_OVER_ALL.most {
            world.app.desk.create_link(&reach, over_all()).await.unwrap();
        }
        let account = world.account.clone();
        let other = move |app: App| async move {
            drop(app.desk.create_link(&Reach::whole(account), over_all()).await);
        };
        world.store.interrupt(nth, meanwhile(&world.app, other));
        let made = world.app.desk.create_link(&reach, over_all()).await;
        if world.store.leave_alone() {
            assert!(nth > 4, "only {nth} calls");
            return;
        }
        assert!(made.is_ok() || matches!(made, Err(LinkError::Full(_))), "{made:?}");
        assert!(links_over_all(&world).await <= LINKS_OVER_ALL.most, "before call {nth}");
    }
}

#[tokio::test]
async fn two_that_make_the_last_token_at_once_do_not_make_two() {
    for nth in 1.. {
        let world = World::new().await;
        let reach = Reach::whole(world.account.clone());
        let tokens = async || {
            let page = PageRequest { limit: 300, after: None };
            world.store.tokens(&world.account, page).await.unwrap().items.len()
        };
        while tokens().await < TOKENS.most - 1 {
            world.app.desk.create_token(&reach, a_token()).await.unwrap();
        }
        let account: AccountId = world.account.clone();
        let other = move |app: App| async move {
            drop(app.desk.create_token(&Reach::whole(account), a_token()).await);
        };
        world.store.interrupt(nth, meanwhile(&world.app, other));
        let made = world.app.desk.create_token(&reach, a_token()).await;
        if world.store.leave_alone() {
            assert!(nth > 2, "only {nth} calls");
            return;
        }
        assert!(made.is_ok() || matches!(made, Err(TokenError::Full(_))), "{made:?}");
        assert!(tokens().await <= TOKENS.most, "before call {nth}");
    }
}
