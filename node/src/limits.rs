//! How many connections there may be: in all, and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of a broker, counted. Touched when one opens or closes, never on the data path.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    counts: Arc<Mutex<Counts>>,
    all_max: u32,
    per_address_max: u32,
}

#[derive(Debug, Default)]
struct Counts {
    all: u32,
    per_address: HashMap<IpAddr, u32>,
}

/// One admitted connection's place, given back when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    limits: ConnectionLimits,
    address: IpAddr,
}

/// Why a connection is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The broker has as many as it may have.
    #[error("max.connections={0} are open")]
    TooMany(u32),
    /// The address has as many as it may have.
    #[error("max.connections.per.ip={0} are open from this address")]
    TooManyFromAddress(u32),
}

impl ConnectionLimits {
    /// Limits that no connection counts against yet.
    pub fn new(all_max: u32, per_address_max: u32) -> Self {
        Self { counts: Arc::default(), all_max, per_address_max }
    }

    /// Admits a connection from `address`.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn admit(&self, address: IpAddr) -> Result<ConnectionPermit, Refused> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.all_max {
            return Err(Refused::TooMany(self.all_max));
        }
        let address = address.to_canonical();
        let from_address = counts.per_address.get(&address).copied().unwrap_or(0);
        if from_address >= self.per_address_max {
            return Err(Refused::TooManyFromAddress(self.per_address_max));
        }
        counts.all += 1;
        counts.per_address.insert(address, from_address + 1);
        Ok(ConnectionPermit { limits: self.clone(), address })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.limits.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        let from_address = counts.per_address.get_mut(&self.address).expect("an admitted address is counted");
        *from_address -= 1;
        if *from_address == 0 {
            counts.per_address.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn a_closed_connection_makes_room_for_another() {
        let limits = ConnectionLimits::new(3, 2);
        let first = limits.admit(HERE).unwrap();
        let _second = limits.admit(HERE).unwrap();
        assert_eq!(limits.admit(HERE).unwrap_err(), Refused::TooManyFromAddress(2));
        let _third = limits.admit(THERE).unwrap();
        assert_eq!(limits.admit(THERE).unwrap_err(), Refused::TooMany(3));
        drop(first);
        limits.admit(HERE).unwrap();
    }

    #[test]
    fn an_ipv4_client_of_an_ipv6_listener_counts_as_ipv4() {
        let limits = ConnectionLimits::new(9, 1);
        let _first = limits.admit(HERE).unwrap();
        let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        assert_eq!(limits.admit(mapped).unwrap_err(), Refused::TooManyFromAddress(1));
    }
}
