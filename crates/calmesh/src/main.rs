#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![doc = include_str!("../README.md")]

mod args;
mod bounded;
mod bus;
mod check;
mod demo;
mod embedded;
mod folder;
mod kept;
mod links;
mod listener;
mod merge;
mod no_links;
mod output;
mod reads;
mod remembered;
mod serve;
mod source;
mod timer;
mod unsure;

use std::process::ExitCode;

use crate::args::{Command, Verb};

// Parsing many feeds on two threads costs half with it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What was asked for could not be done: a feed that is no use, sources that can't be merged.
const REFUSED: u8 = 1;
/// The program could not run at all: a port in use, a data folder that can't be written, a wrong flag.
const BROKEN: u8 = 2;

fn main() -> ExitCode {
    let command = Command::of_this_process();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::warn(&format!("calmesh: no threads can be started: {error}"));
            return ExitCode::from(BROKEN);
        }
    };
    let code = runtime.block_on(async {
        match command.verb {
            None => serve(&command.serve).await,
            Some(Verb::Serve(args)) => serve(&args).await,
            Some(Verb::Check(args)) => match check::run(&args).await {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::from(REFUSED),
                Err(error) => failed(&error, REFUSED),
            },
            Some(Verb::Merge(args)) => match merge::run(&args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error, REFUSED),
            },
        }
    });
    // What still runs has been asked to stop and given its time.
    runtime.shutdown_background();
    code
}

async fn serve(args: &args::Serve) -> ExitCode {
    match serve::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, BROKEN),
    }
}

/// One sentence that says what to do, with what the machine said in brackets.
fn failed(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    let mut text = format!("calmesh: {error}");
    if let Some(cause) = error.source() {
        text.push_str(&format!(" ({})", calmesh_lambda_kit::telemetry::chain(cause)));
    }
    output::warn(&text);
    ExitCode::from(code)
}
