//! One broker: its connection, its answers, and what it calls itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use highwater_tests::client::Client;
use highwater_wire::api_versions::ApiVersionsRequest;
use highwater_wire::frame::{decode_response, encode_request};
use highwater_wire::{AnyResponse, RequestMessage};

use crate::ids::{Ids, Who};
use crate::step::Step;

/// A broker under test.
#[derive(Debug)]
pub struct Side {
    who: Who,
    address: SocketAddr,
    client: Client,
    correlation_id: i32,
    /// What its answers say that only it can say, and the word that stands for it: its address, its directory, its
    /// cluster's id.
    pub own_words: Vec<(String, &'static str)>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// An answer.
    Response(AnyResponse),
    /// No answer, as it should be.
    Silence,
    /// The broker closed the connection.
    Closed,
    /// Nothing came, although an answer was to come.
    Nothing,
    /// Bytes that are no answer.
    Garbage(String),
}

/// How long an answer may take. No request may wait as long as that.
const PATIENCE: Duration = Duration::from_secs(8);

impl Side {
    /// Connects to a broker.
    pub fn connect(who: Who, address: SocketAddr) -> io::Result<Self> {
        let own_words = vec![(address.to_string(), "ADDRESS")];
        Ok(Self { who, address, client: open(address)?, correlation_id: 0, own_words })
    }

    /// Sends a request without waiting.
    pub fn send(&mut self, step: &Step, ids: &Ids) -> io::Result<()> {
        self.correlation_id += 1;
        let frame = step.frame(self.who, ids, self.correlation_id);
        match self.client.send(&frame) {
            // The broker has closed the connection already, which the answer will say.
            Err(error) if is_closed(&error) => Ok(()),
            sent => sent,
        }
    }

    /// Waits for the answer to what was sent last. Connects anew where that was the end of the connection.
    pub fn receive(&mut self, step: &Step) -> io::Result<Answer> {
        let answer = if step.is_silent() { self.silence()? } else { self.answer(step)? };
        if matches!(answer, Answer::Closed | Answer::Nothing) {
            self.client = open(self.address)?;
        }
        Ok(answer)
    }

    /// Asks and waits, outside of any sequence and in the broker's own ids.
    pub fn ask<R: RequestMessage>(&mut self, request: &R, version: i16) -> io::Result<R::Response> {
        self.client.ask(request, version)
    }

    fn answer(&mut self, step: &Step) -> io::Result<Answer> {
        let frame = match self.frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(Answer::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Answer::Nothing),
            Err(error) => return Err(error),
        };
        Ok(match AnyResponse::decode_frame(&frame, step.api(), step.answer_version()) {
            Ok((correlation_id, response)) if correlation_id == self.correlation_id => Answer::Response(response),
            Ok((correlation_id, _)) => Answer::Garbage(format!("the answer to request {correlation_id}")),
            Err(error) => Answer::Garbage(error.to_string()),
        })
    }

    /// Tells whether a request without an answer has gone well: a broker says that it has not by closing the connection.
    /// What was sent behind it may still be answered before it does, so it is asked twice.
    fn silence(&mut self) -> io::Result<Answer> {
        for _ in 0..2 {
            self.correlation_id += 1;
            let probe = encode_request(&ApiVersionsRequest::default(), 0, self.correlation_id, None);
            let probe = probe.expect("version 0 exists").into_bytes();
            match self.client.send(&probe) {
                Err(error) if is_closed(&error) => return Ok(Answer::Closed),
                sent => sent?,
            }
            let Some(frame) = self.frame()? else { return Ok(Answer::Closed) };
            match decode_response::<ApiVersionsRequest>(&frame, 0) {
                Ok((correlation_id, _)) if correlation_id == self.correlation_id => {}
                _ => return Ok(Answer::Garbage("an answer although none was wanted".to_owned())),
            }
        }
        Ok(Answer::Silence)
    }

    fn frame(&mut self) -> io::Result<Option<Bytes>> {
        match self.client.receive() {
            Ok(frame) => Ok(Some(frame)),
            Err(error) if is_closed(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn open(address: SocketAddr) -> io::Result<Client> {
    let client = Client::connect(address)?;
    client.stream().set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
