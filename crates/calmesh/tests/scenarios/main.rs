//! The main loop as hosts and sites see it: the real program, real feeds over HTTP, private links read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod crashes;
mod echoes;
mod failures;
mod fixtures;
mod in_step;
mod links;
mod privacy;
mod refreshes;
mod times;

use calmesh_tests::{
    feed_server::FeedServer,
    program::{Program, text},
};

const CALMESH: &str = env!("CARGO_BIN_EXE_calmesh");

/// The program, sweeping so seldom that only what a test asks for happens, and feeds for it.
async fn begin() -> (Program, FeedServer) {
    (swept(&["--sweep-every", "6h"]).await, FeedServer::start().await)
}

/// A service whose sweep of the start is over: it would read a feed that a scenario changes before the button does.
async fn swept(args: &[&str]) -> Program {
    let program = Program::start(CALMESH, args).await;
    program.until("the first sweep is over", async || program.log().contains("swept").then_some(())).await;
    program
}

/// A connection under test.
#[derive(Debug)]
struct Site {
    id: String,
    link: String,
}

impl Site {
    async fn connect(program: &Program, property: &str, name: &str, url: &str) -> Self {
        let made = program.connect(property, name, url).await;
        Self { id: text(&made, "/id"), link: text(&made, "/export/url") }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/connections/{}{rest}", self.id)
    }
}
