//! `highwater serve`: from flags to a running broker, and from its end to an exit code.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use highwater_core::config::{BrokerConfig, Listener};
use highwater_core::controller::ControllerShard;
use highwater_core::outbox::Halt;
use highwater_core::shard::Shard;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::rand::GetRandomFlags;
use slog::{Logger, debug, warn};

use crate::args::ServeArgs;
use crate::broker::{self, Setup};
use crate::clock::Clock;
use crate::config;
use crate::data_dir::DataDir;
use crate::exit::Exit;
use crate::listeners;
use crate::logging;

/// Runs a broker until it is asked to stop or must.
pub fn run(args: &ServeArgs) -> Exit {
    let config = match config::load(args, std::env::vars_os()) {
        Ok(config) => config,
        Err(refused) => {
            eprintln!("highwater: {refused}");
            return Exit::Usage;
        }
    };
    let (log, _flushed_when_dropped) = logging::logger(config.log_format, config.log_level);
    match prepare(config, &log) {
        Ok((setup, _locked)) => start(setup),
        Err(reason) => {
            slog::crit!(log, "cannot start: {}", reason);
            Exit::Failed
        }
    }
}

/// Takes what a broker needs from the machine: its directory, its addresses, enough descriptors.
fn prepare(mut config: BrokerConfig, log: &Logger) -> Result<(Setup, DataDir), Box<dyn std::error::Error>> {
    let directory = DataDir::open(Path::new(&config.log_dir))?;
    let bound = listeners::bind(&mut config.listeners)?;
    raise_descriptor_limit(log);
    warn_of_unreachable(config.listeners.clone(), log.clone());
    let data_shards = match config.num_shards {
        0 => thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX)),
        shards => shards,
    };
    let setup = Setup {
        config: Arc::new(config),
        root: directory.path().to_owned(),
        data_shards,
        bound,
        clock: Clock::start(),
        log: log.clone(),
    };
    Ok((setup, directory))
}

fn start(setup: Setup) -> Exit {
    let (config, clock, shards, log) = (Arc::clone(&setup.config), setup.clock, setup.data_shards, setup.log.clone());
    let controller_config = Arc::clone(&config);
    let open_controller = move |disk| ControllerShard::open(controller_config, disk, seed()?, clock.now(), shards);
    let open_shard = move |id| {
        let config = Arc::clone(&config);
        move |disk| Shard::open(id, shards, config, disk, seed()?, clock.now())
    };
    broker::run(setup, open_controller, open_shard).unwrap_or_else(|error| {
        slog::crit!(log, "cannot start: {}", error);
        Exit::Failed
    })
}

/// Entropy for one start of a shard: core has none of its own.
fn seed() -> Result<[u8; 32], Halt> {
    let mut seed = [0; 32];
    let filled = rustix::rand::getrandom(&mut seed, GetRandomFlags::empty()).map_err(|error| Halt::Io {
        action: "cannot read",
        path: "random bytes".into(),
        error: error.into(),
    })?;
    assert_eq!(filled, seed.len(), "the kernel fills a request of this size at once");
    Ok(seed)
}

/// Connections and segments each hold a descriptor: take as many as the system allows.
fn raise_descriptor_limit(log: &Logger) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => debug!(log, "descriptor limit raised"; "limit" => limit.maximum),
        Err(error) => warn!(log, "the descriptor limit stays low"; "limit" => limit.current, "reason" => %error),
    }
}

/// Looks at what clients are told, on a thread of its own: a name server may take its time.
fn warn_of_unreachable(listeners: Vec<Listener>, log: Logger) {
    let look = move || {
        for problem in listeners.iter().filter_map(listeners::advertised_problem) {
            warn!(log, "{}", problem);
        }
    };
    // Without a thread there is no warning, and soon an error that says so.
    let _ = thread::Builder::new().name("advertised".to_owned()).spawn(look);
}
