//! Runs a simulated world for each of many seeds and says which failed.
//!
//! `cargo run -p prise-sim --release --example swarm -- N [SEED]` runs N seeds from SEED on.

use prise_sim::{Failure, Family, Scenario, Success, run, run_traced};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const USAGE: &str = "swarm [--scenario target|pair|network|swarm] [--jobs N] [--keep-going] N [SEED]
swarm [--scenario target|pair|network|swarm] --seed SEED [--trace]";

/// Failures after which a run is over unless it is told to go on.
const FAILURES_SHOWN: usize = 1;

struct Options {
    family: Family,
    seeds: u64,
    from: u64,
    single: Option<u64>,
    trace: bool,
    jobs: usize,
    keep_going: bool,
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        family: Family::Swarm,
        seeds: 1000,
        from: 0,
        single: None,
        trace: false,
        jobs: std::thread::available_parallelism().map_or(1, usize::from),
        keep_going: false,
    };
    let mut numbers = 0;
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|why| format!("{arg} {text}: {why}"));
        match arg.as_str() {
            "--scenario" => {
                let name = value()?;
                options.family = Family::from_name(&name).ok_or(format!("there is no scenario {name}"))?;
            }
            "--seeds" => options.seeds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--seed" => options.single = Some(number(value()?)?),
            "--jobs" => options.jobs = number(value()?)?.max(1) as usize,
            "--trace" => options.trace = true,
            "--keep-going" => options.keep_going = true,
            _ if arg.parse::<u64>().is_ok() => {
                let place = [&mut options.seeds, &mut options.from].into_iter().nth(numbers);
                *place.ok_or(format!("{arg} is one number too many"))? = number(arg.clone())?;
                numbers += 1;
            }
            _ => return Err(format!("{arg} is not an option")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("swarm: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match options.single {
        Some(seed) => one(&options, seed),
        None => many(&options),
    }
}

fn one(options: &Options, seed: u64) -> ExitCode {
    let scenario = Scenario::new(options.family, seed);
    let outcome = if options.trace {
        run_traced(&scenario)
    } else {
        run(&scenario)
    };
    match outcome {
        Ok(success) => {
            println!(
                "seed {seed}: done after {:?} of virtual time, {} frames",
                success.took, success.frames
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("seed {seed}: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Tally {
    successes: Vec<(u64, Success)>,
    failures: Vec<(u64, Box<Failure>)>,
}

fn many(options: &Options) -> ExitCode {
    let started = Instant::now();
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    // Panics are caught, judged and shown with their seed; of the usual message one line is enough.
    std::panic::set_hook(Box::new(|info| eprintln!("swarm: {info}")));
    std::thread::scope(|scope| {
        for _ in 0..options.jobs {
            scope.spawn(|| work(options, &next, &tally));
        }
    });
    let _ = std::panic::take_hook();
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    summarize(options, &tally, started.elapsed())
}

/// Runs one seed after the other until there are no more, or enough has failed.
fn work(options: &Options, next: &AtomicU64, tally: &Mutex<Tally>) {
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let failed = tally.lock().unwrap_or_else(PoisonError::into_inner).failures.len();
        if index >= options.seeds || (failed >= FAILURES_SHOWN && !options.keep_going) {
            return;
        }
        let seed = options.from + index;
        let outcome = run(&Scenario::new(options.family, seed));
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(success) => tally.successes.push((seed, success)),
            Err(failure) => {
                println!("seed {seed} FAILED: {failure}\n");
                tally.failures.push((seed, failure));
            }
        }
    }
}

fn summarize(options: &Options, tally: &Tally, elapsed: Duration) -> ExitCode {
    let Tally { successes, failures } = tally;
    let ran = successes.len() + failures.len();
    let mut took: Vec<(Duration, u64)> = successes.iter().map(|(seed, success)| (success.took, *seed)).collect();
    took.sort_unstable();
    let frames: u64 = successes.iter().map(|(_, success)| success.frames).sum();
    let seconds = elapsed.as_secs_f64();
    println!(
        "{}: {ran} seeds from {} in {seconds:.2} s ({:.1} seeds/s, {:.0} frames/s, {} jobs)",
        options.family.name(),
        options.from,
        ran as f64 / seconds,
        frames as f64 / seconds,
        options.jobs,
    );
    if let (Some((median, _)), Some((most, seed))) = (took.get(took.len() / 2), took.last()) {
        println!("virtual time until all was done: median {median:.2?}, longest {most:.2?} (seed {seed})");
    }
    println!("{} byte-exact and finished, {} failed", successes.len(), failures.len());
    if failures.is_empty() {
        return ExitCode::SUCCESS;
    }
    let seeds: Vec<String> = failures.iter().take(50).map(|(seed, _)| seed.to_string()).collect();
    println!("failed seeds: {}", seeds.join(" "));
    ExitCode::FAILURE
}
