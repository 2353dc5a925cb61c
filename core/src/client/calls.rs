//! Requests that pass through as they are: what an administrator asks.
//!
//! A call waits until its target is connected, is sent once, and ends with the answer or the reason why there is none.
//! It is never repeated: only who asked knows whether that would do harm.

use std::collections::BTreeMap;

use highwater_wire::{AnyRequest, EncodeError, ErrorCode};

use super::answer::Answer;
use super::boundary::{Completion, Outbox, TopicPartition};
use super::config::ClientConfig;
use super::connection::Unsupported;
use super::metadata::Metadata;
use super::network::Network;
use super::purpose::Purpose;
use super::wake::Wake;
use crate::ids::{BrokerId, CommandId};
use crate::limits::CLIENT_CALLS_MAX;
use crate::time::Instant;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any broker, the bootstrap addresses included.
    Any,
    /// The controller, or whoever passes requests on to it.
    Controller,
    /// This broker.
    Broker(BrokerId),
    /// The broker that leads a partition.
    Leader(TopicPartition),
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Too many calls wait already.
    #[error("{CLIENT_CALLS_MAX} calls are waiting already")]
    TooMany,
    /// The broker has no version of the request that we speak.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The version that both speak cannot express the request.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The metadata say that there is no such target.
    #[error("{0}")]
    NoTarget(ErrorCode),
    /// Nobody could be asked in time.
    #[error("no broker could be asked in time; {0}")]
    NotSent(String),
    /// The request was sent; whether it was carried out is not known.
    #[error("the request was sent but not answered: {0}")]
    Unanswered(String),
}

#[derive(Debug)]
struct Call {
    target: Target,
    /// Gone once it is sent.
    request: Option<AnyRequest>,
    deadline: Instant,
}

#[derive(Debug)]
pub(super) struct Calls {
    timeout: std::time::Duration,
    calls: BTreeMap<CommandId, Call>,
}

impl Calls {
    pub fn new(config: &ClientConfig) -> Self {
        Self { timeout: config.call_timeout, calls: BTreeMap::new() }
    }

    pub fn add(&mut self, now: Instant, id: CommandId, target: Target, request: AnyRequest, out: &mut Outbox) {
        if self.calls.len() >= CLIENT_CALLS_MAX {
            return answer(id, Err(CallError::TooMany), out);
        }
        if let Target::Leader(partition) = &target
            && !partition.has_valid_topic()
        {
            return answer(id, Err(CallError::NoTarget(ErrorCode::InvalidTopicException)), out);
        }
        let call = Call { target, request: Some(request), deadline: now + self.timeout };
        assert!(self.calls.insert(id, call).is_none(), "command {id} names two calls");
    }

    pub fn on_answer(&mut self, id: CommandId, result: Answer, out: &mut Outbox) {
        if self.calls.remove(&id).is_some() {
            answer(id, Ok(result), out);
        }
    }

    pub fn on_lost(&mut self, id: CommandId, reason: &str, out: &mut Outbox) {
        if self.calls.remove(&id).is_some() {
            answer(id, Err(CallError::Unanswered(reason.to_owned())), out);
        }
    }

    pub fn maybe_send(
        &mut self,
        now: Instant,
        metadata: &mut Metadata,
        network: &mut Network,
        wake: &mut Wake,
        out: &mut Outbox,
    ) {
        let mut done = Vec::new();
        for (id, call) in &mut self.calls {
            wake.at(call.deadline);
            if let Err(error) = call.maybe_send(now, *id, metadata, network, out) {
                done.push(*id);
                answer(*id, Err(error), out);
            }
        }
        for id in done {
            self.calls.remove(&id);
        }
    }
}

impl Call {
    fn maybe_send(
        &mut self,
        now: Instant,
        id: CommandId,
        metadata: &mut Metadata,
        network: &mut Network,
        out: &mut Outbox,
    ) -> Result<(), CallError> {
        if self.deadline <= now {
            let reason = network.last_failure().unwrap_or("the broker did not answer").to_owned();
            return Err(if self.request.is_some() {
                CallError::NotSent(reason)
            } else {
                CallError::Unanswered(reason)
            });
        }
        let Some(request) = &self.request else { return Ok(()) };
        let connection = match &self.target {
            Target::Any => network.any_ready(now, out),
            Target::Controller => match metadata.controller() {
                Some(controller) => network.ready(now, controller, out),
                None => {
                    metadata.refresh();
                    None
                }
            },
            Target::Broker(broker) => {
                metadata.want_brokers();
                network.ready(now, *broker, out)
            }
            Target::Leader(partition) => match metadata.leader_or_error(partition).map_err(CallError::NoTarget)? {
                Some(leader) => network.ready(now, leader.broker, out),
                None => None,
            },
        };
        let Some(connection) = connection else { return Ok(()) };
        let version = connection.version_for(request.key())?;
        connection.send(now, request, version, Purpose::Call(id), out)?;
        self.request = None;
        Ok(())
    }
}

fn answer(id: CommandId, outcome: Result<Answer, CallError>, out: &mut Outbox) {
    out.completions.push(Completion::Answered { id, outcome });
}
