//! Where a broker listens and what it tells clients about it.

use std::collections::BTreeMap;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityProtocol {
    /// Neither encryption nor authentication.
    Plaintext,
}

impl SecurityProtocol {
    /// Kafka's code, as broker registrations carry it.
    pub fn code(self) -> i16 {
        match self {
            Self::Plaintext => 0,
        }
    }
}

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name; listeners of one name share what they advertise.
    pub name: String,
    /// A host name or address without brackets; empty for every address of the machine.
    pub host: String,
    /// 0 for any free port: the driver puts the real one here before it opens the controller.
    pub port: u16,
    /// What clients are told. Empty where the host is a wildcard and nothing is advertised: the driver decides.
    pub advertised_host: String,
    /// What clients are told; 0 as for `port`.
    pub advertised_port: u16,
    /// What is spoken.
    pub protocol: SecurityProtocol,
}

/// A name, host and port, as one element of `listeners` and `advertised.listeners` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    name: String,
    host: String,
    port: u16,
}

/// Reads `listeners`, `advertised.listeners` and the protocols of their names.
///
/// # Errors
/// The key that is to blame and the end of a sentence that starts with its value.
pub(super) fn parse_listeners(
    listeners: &[String],
    advertised: &[String],
    protocols: &str,
) -> Result<Vec<Listener>, (&'static str, String)> {
    let protocols = parse_protocols(protocols).map_err(|reason| ("listener.security.protocol.map", reason))?;
    let advertised = parse_advertised(advertised).map_err(|reason| ("advertised.listeners", reason))?;
    let mut parsed: Vec<Listener> = Vec::new();
    for element in listeners {
        let listener = parse_listener(element, &advertised, &protocols).map_err(|reason| ("listeners", reason))?;
        let same = |other: &Listener| other.port != 0 && (&other.host, other.port) == (&listener.host, listener.port);
        if parsed.iter().any(same) {
            return Err(("listeners", format!("must not name {}:{} twice", listener.host, listener.port)));
        }
        parsed.push(listener);
    }
    if parsed.is_empty() {
        return Err(("listeners", "must name at least one address".into()));
    }
    if let Some(name) = advertised.keys().find(|name| parsed.iter().all(|listener| listener.name != **name)) {
        return Err(("advertised.listeners", format!("names {name}, which is not in listeners")));
    }
    Ok(parsed)
}

fn parse_listener(
    element: &str,
    advertised: &BTreeMap<String, Address>,
    protocols: &BTreeMap<String, SecurityProtocol>,
) -> Result<Listener, String> {
    let Address { name, host, port } = parse_address(element)?;
    let Some(&protocol) = protocols.get(&name) else {
        return Err(format!("names {name}, which is not in listener.security.protocol.map"));
    };
    let (advertised_host, advertised_port) = match advertised.get(&name) {
        Some(address) => (address.host.clone(), address.port),
        None if is_wildcard(&host) => (String::new(), port),
        None => (host.clone(), port),
    };
    Ok(Listener { name, host, port, advertised_host, advertised_port, protocol })
}

fn parse_advertised(elements: &[String]) -> Result<BTreeMap<String, Address>, String> {
    let mut advertised = BTreeMap::new();
    for element in elements {
        let address = parse_address(element)?;
        if is_wildcard(&address.host) {
            return Err(format!("must not hold {element}: no client can connect to a wildcard address"));
        }
        if advertised.contains_key(&address.name) {
            return Err(format!("must not name {} twice", address.name));
        }
        advertised.insert(address.name.clone(), address);
    }
    Ok(advertised)
}

/// Reads `NAME://HOST:PORT`; an IPv6 address stands in brackets.
fn parse_address(element: &str) -> Result<Address, String> {
    let malformed = || format!("holds {element:?}, which is not NAME://HOST:PORT");
    let (name, rest) = element.split_once("://").ok_or_else(malformed)?;
    let (host, port) = rest.rsplit_once(':').ok_or_else(malformed)?;
    let port = port.parse().map_err(|_| malformed())?;
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host,
        None if host.contains([':', '[', ']']) => return Err(malformed()),
        None => host,
    };
    if !is_name(name) || host.contains(char::is_whitespace) {
        return Err(malformed());
    }
    Ok(Address { name: name.to_ascii_uppercase(), host: host.to_owned(), port })
}

fn parse_protocols(map: &str) -> Result<BTreeMap<String, SecurityProtocol>, String> {
    let mut protocols = BTreeMap::new();
    for pair in map.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, protocol) =
            pair.split_once(':').ok_or_else(|| format!("holds {pair:?}, which is not NAME:PROTOCOL"))?;
        if !protocol.eq_ignore_ascii_case("PLAINTEXT") {
            return Err(format!("asks for {protocol} on {name}; this version speaks PLAINTEXT only"));
        }
        if protocols.insert(name.to_ascii_uppercase(), SecurityProtocol::Plaintext).is_some() {
            return Err(format!("must not name {name} twice"));
        }
    }
    Ok(protocols)
}

fn is_wildcard(host: &str) -> bool {
    matches!(host, "" | "0.0.0.0" | "::")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(listeners: &str, advertised: &str) -> Result<Vec<Listener>, (&'static str, String)> {
        let split = |list: &str| list.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        parse_listeners(&split(listeners), &split(advertised), "PLAINTEXT:PLAINTEXT,OUTSIDE:plaintext")
    }

    #[test]
    fn a_listener_advertises_its_own_address_unless_told_otherwise() {
        let listeners = parse("PLAINTEXT://[::1]:9092,OUTSIDE://:9093", "OUTSIDE://broker.example:443").unwrap();
        let told: Vec<_> =
            listeners.iter().map(|l| (l.host.as_str(), l.advertised_host.as_str(), l.advertised_port)).collect();
        assert_eq!(told, [("::1", "::1", 9092), ("", "broker.example", 443)]);
        assert_eq!(parse("PLAINTEXT://0.0.0.0:1", "").unwrap()[0].advertised_host, "");
    }

    #[test]
    fn one_name_may_have_several_addresses() {
        let listeners = parse("PLAINTEXT://127.0.0.1:9092,PLAINTEXT://[::1]:9092", "").unwrap();
        assert_eq!(listeners.len(), 2);
    }

    #[test]
    fn bad_listeners_are_refused() {
        let check = |listeners, advertised, key, reason: &str| {
            assert_eq!(parse(listeners, advertised), Err((key, reason.to_owned())), "{listeners} {advertised}");
        };
        check("localhost:9092", "", "listeners", "holds \"localhost:9092\", which is not NAME://HOST:PORT");
        check("PLAINTEXT://::1:9092", "", "listeners", "holds \"PLAINTEXT://::1:9092\", which is not NAME://HOST:PORT");
        check("PLAINTEXT://h:65536", "", "listeners", "holds \"PLAINTEXT://h:65536\", which is not NAME://HOST:PORT");
        check("SSL://h:1", "", "listeners", "names SSL, which is not in listener.security.protocol.map");
        check("PLAINTEXT://h:1,OUTSIDE://h:1", "", "listeners", "must not name h:1 twice");
        check("", "", "listeners", "must name at least one address");
        check("PLAINTEXT://h:1", "OUTSIDE://h:1", "advertised.listeners", "names OUTSIDE, which is not in listeners");
        check(
            "PLAINTEXT://h:1",
            "PLAINTEXT://0.0.0.0:1",
            "advertised.listeners",
            "must not hold PLAINTEXT://0.0.0.0:1: no client can connect to a wildcard address",
        );
    }
}
