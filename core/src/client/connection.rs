//! One connection to a broker: which versions it speaks, and which answer belongs to which request.
//!
//! Invariants:
//! * Nothing but ApiVersions is sent before the broker has said what it speaks.
//! * Answers come in the order of the requests; any other correlation id ends the connection.
//! * At most [`IN_FLIGHT_MAX`](crate::limits::CLIENT_REQUESTS_IN_FLIGHT_MAX) requests wait for an answer.
//!
//! Sources: KIP-35 and KIP-511 (ApiVersions and its fallback).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use highwater_wire::api_versions::ApiVersionsRequest;
use highwater_wire::{AnyRequest, ApiKey, EncodeError, ErrorCode};

use super::answer::Answer;
use super::boundary::{Effect, Outbox};
use super::error_of;
use super::purpose::Purpose;
use crate::ids::ConnectionId;
use crate::limits::CLIENT_REQUESTS_IN_FLIGHT_MAX;
use crate::time::Instant;

/// What every connection of a client has in common.
#[derive(Clone, Debug)]
pub(super) struct ConnectionConfig {
    pub client_id: Arc<str>,
    pub connect_timeout: Duration,
    pub request_timeout: Duration,
}

/// Why a connection must be given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("no connection within {0:?}")]
    ConnectTimedOut(Duration),
    #[error("no answer to {0} within {1:?}")]
    RequestTimedOut(ApiKey, Duration),
    #[error("malformed answer to {0}: {1}")]
    Malformed(ApiKey, String),
    #[error("an answer to nothing (correlation id {0})")]
    Unexpected(i32),
    #[error("it refuses ApiVersions: {0}")]
    Refused(ErrorCode),
}

/// A request that the other end does not serve in any version that we could send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker serves {api} in versions {served}, this client speaks {spoken}")]
pub struct Unsupported {
    /// The request.
    pub api: ApiKey,
    /// What the broker said.
    pub served: String,
    /// What was tried.
    pub spoken: String,
}

#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    config: ConnectionConfig,
    state: State,
    versions: BTreeMap<i16, (i16, i16)>,
    next_correlation_id: i32,
    in_flight: VecDeque<InFlight>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting { deadline: Instant },
    Negotiating,
    Ready,
}

#[derive(Debug)]
struct InFlight {
    correlation_id: i32,
    api: ApiKey,
    version: i16,
    deadline: Instant,
    purpose: Purpose,
}

impl Connection {
    pub fn new(id: ConnectionId, config: ConnectionConfig, now: Instant) -> Self {
        let deadline = now + config.connect_timeout;
        Self {
            id,
            config,
            state: State::Connecting { deadline },
            versions: BTreeMap::new(),
            next_correlation_id: 0,
            in_flight: VecDeque::new(),
        }
    }

    pub fn id(&self) -> ConnectionId {
        self.id
    }

    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub fn has_room(&self) -> bool {
        self.is_ready() && self.in_flight.len() < CLIENT_REQUESTS_IN_FLIGHT_MAX
    }

    pub fn load(&self) -> usize {
        self.in_flight.len()
    }

    /// When this connection fails unless something arrives.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Connecting { deadline } => Some(deadline),
            State::Negotiating | State::Ready => self.in_flight.iter().map(|request| request.deadline).min(),
        }
    }

    /// Why the connection fails now, if its deadline has passed.
    pub fn overdue(&self, now: Instant) -> Option<ConnectionError> {
        if let State::Connecting { deadline } = self.state {
            return (deadline <= now).then_some(ConnectionError::ConnectTimedOut(self.config.connect_timeout));
        }
        let late = self.in_flight.iter().find(|request| request.deadline <= now)?;
        Some(ConnectionError::RequestTimedOut(late.api, self.config.request_timeout))
    }

    pub fn on_connected(&mut self, now: Instant, out: &mut Outbox) {
        if matches!(self.state, State::Connecting { .. }) {
            self.state = State::Negotiating;
            self.ask_versions(now, *ApiKey::ApiVersions.versions().end(), out);
        }
    }

    /// Takes a response frame; `None` where it was only about versions.
    pub fn on_frame(
        &mut self,
        now: Instant,
        frame: Bytes,
        out: &mut Outbox,
    ) -> Result<Option<(Purpose, Answer)>, ConnectionError> {
        let correlation_id = frame.first_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes));
        let Some(request) = self.in_flight.pop_front_if(|request| request.correlation_id == correlation_id) else {
            return Err(ConnectionError::Unexpected(correlation_id));
        };
        let answer = Answer::new(request.api, request.version, frame);
        if request.purpose == Purpose::ApiVersions {
            self.on_versions(now, &answer, out)?;
            return Ok(None);
        }
        Ok(Some((request.purpose, answer)))
    }

    /// The highest version of a request that both ends speak.
    pub fn version_for(&self, api: ApiKey) -> Result<i16, Unsupported> {
        assert!(self.is_ready(), "versions are known once the connection is ready");
        let spoken = api.versions();
        let served = self.versions.get(&(api as i16));
        let common = served.and_then(|(min, max)| {
            let version = (*max).min(*spoken.end());
            (version >= *min && version >= *spoken.start()).then_some(version)
        });
        common.ok_or_else(|| Unsupported {
            api,
            served: served.map_or("none".to_owned(), |(min, max)| format!("{min} to {max}")),
            spoken: format!("{} to {}", spoken.start(), spoken.end()),
        })
    }

    /// Sends a request in a version from [`version_for`](Self::version_for); its answer, or its loss, comes back with
    /// the purpose. Nothing is sent where the version cannot say what the request says.
    pub fn send(
        &mut self,
        now: Instant,
        request: &AnyRequest,
        version: i16,
        purpose: Purpose,
        out: &mut Outbox,
    ) -> Result<(), EncodeError> {
        assert!(self.has_room(), "a request needs a connection with room");
        self.transmit(request, version, out)?;
        self.expect_answer(now, request.key(), version, purpose);
        Ok(())
    }

    /// Sends a request that is never answered.
    pub fn send_unanswered(&mut self, request: &AnyRequest, version: i16, out: &mut Outbox) -> Result<(), EncodeError> {
        assert!(self.is_ready(), "a request needs a connection");
        self.transmit(request, version, out)
    }

    /// What was still waiting for an answer, in the order in which it was sent.
    pub fn into_lost(self) -> Vec<Purpose> {
        self.in_flight
            .into_iter()
            .map(|request| request.purpose)
            .filter(|purpose| *purpose != Purpose::ApiVersions)
            .collect()
    }

    fn transmit(&mut self, request: &AnyRequest, version: i16, out: &mut Outbox) -> Result<(), EncodeError> {
        let encoded = request.encode_frame(version, self.next_correlation_id, Some(&self.config.client_id))?;
        out.effects.push(Effect::Send { connection: self.id, frame: encoded.into_bytes() });
        self.next_correlation_id = self.next_correlation_id.wrapping_add(1) & i32::MAX;
        Ok(())
    }

    fn expect_answer(&mut self, now: Instant, api: ApiKey, version: i16, purpose: Purpose) {
        let correlation_id = self.next_correlation_id.wrapping_sub(1) & i32::MAX;
        let deadline = now + self.config.request_timeout;
        self.in_flight.push_back(InFlight { correlation_id, api, version, deadline, purpose });
    }

    fn ask_versions(&mut self, now: Instant, version: i16, out: &mut Outbox) {
        let request = ApiVersionsRequest {
            client_software_name: "highwater".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.transmit(&request.into(), version, out).expect("every version can carry this request");
        self.expect_answer(now, ApiKey::ApiVersions, version, Purpose::ApiVersions);
    }

    fn on_versions(&mut self, now: Instant, answer: &Answer, out: &mut Outbox) -> Result<(), ConnectionError> {
        let malformed = |reason: String| ConnectionError::Malformed(ApiKey::ApiVersions, reason);
        // A broker that does not know our version answers in version 0, whatever was asked.
        let refused = answer.error_code_in_front() == Some(ErrorCode::UnsupportedVersion as i16);
        let version = if refused { 0 } else { answer.version() };
        let response = answer.decode_as::<ApiVersionsRequest>(version).map_err(|error| malformed(error.to_string()))?;
        if refused && answer.version() > 0 {
            let served = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions as i16);
            let highest = served.map_or(0, |api| api.max_version).clamp(0, answer.version() - 1);
            self.ask_versions(now, highest, out);
            return Ok(());
        }
        if let Some(code) = error_of(response.error_code) {
            return Err(ConnectionError::Refused(code));
        }
        self.versions = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        self.state = State::Ready;
        Ok(())
    }
}
