//! Where a broker's configuration comes from: a file, then the environment, then flags, each stronger than the one
//! before. What the keys mean is core's affair.
//!
//! A key `a.b.c` is `a.b.c = …` or a table `[a.b]` in the TOML file, `HIGHWATER_A_B_C` in the environment, and
//! `--set a.b.c=…` on the command line.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use highwater_core::config::{BrokerConfig, ConfigError};

use crate::args::ServeArgs;

/// What a broker's environment variables begin with.
const PREFIX: &str = "HIGHWATER_";
/// Variables with the prefix that are not configuration of a broker.
const FOREIGN: &[&str] = &["HIGHWATER_BOOTSTRAP"];
/// The largest configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {error}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        error: toml::de::Error,
    },
    /// The file gives a key something that is not a value.
    #[error("{key} in the configuration file {} has a {kind} for a value", path.display())]
    NotAValue {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it was given.
        kind: &'static str,
    },
    /// A `--set` without an equals sign.
    #[error("--set {0} is not KEY=VALUE")]
    NotAPair(String),
    /// A path or value that is not text.
    #[error("{0} is not valid UTF-8")]
    NotText(String),
    /// A key or value is refused.
    #[error(transparent)]
    Refused(#[from] ConfigError),
}

/// One key with its value and who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    key: String,
    value: String,
    source: String,
}

/// Reads the configuration that these flags and environment variables make.
///
/// # Errors
/// Something cannot be read or is refused; the message names it and who set it.
pub fn load(
    args: &ServeArgs,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<BrokerConfig, LoadError> {
    let mut pairs = match &args.config {
        Some(path) => file_pairs(path)?,
        None => Vec::new(),
    };
    pairs.extend(environment_pairs(environment)?);
    pairs.extend(flag_pairs(args)?);
    let pairs = pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str(), pair.source.as_str()));
    Ok(BrokerConfig::from_pairs(pairs)?)
}

fn flag_pairs(args: &ServeArgs) -> Result<Vec<Pair>, LoadError> {
    let mut pairs = Vec::new();
    for set in &args.set {
        let (key, value) = set.split_once('=').ok_or_else(|| LoadError::NotAPair(set.clone()))?;
        pairs.push(Pair { key: key.trim().to_owned(), value: value.trim().to_owned(), source: "--set".to_owned() });
    }
    if let Some(data) = &args.data {
        let value = data.to_str().ok_or_else(|| LoadError::NotText(format!("--data {}", data.display())))?;
        pairs.push(Pair { key: "log.dirs".to_owned(), value: value.to_owned(), source: "--data".to_owned() });
    }
    if !args.listen.is_empty() {
        let value = args.listen.iter().map(|address| listener(address)).collect::<Vec<_>>().join(",");
        pairs.push(Pair { key: "listeners".to_owned(), value, source: "--listen".to_owned() });
    }
    Ok(pairs)
}

/// `HOST:PORT`, or a whole `NAME://HOST:PORT`.
fn listener(address: &str) -> String {
    if address.contains("://") { address.to_owned() } else { format!("PLAINTEXT://{address}") }
}

fn environment_pairs(variables: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<Pair>, LoadError> {
    let mut pairs = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
        let value = value.to_str().ok_or_else(|| LoadError::NotText(format!("environment variable {name}")))?;
        if FOREIGN.contains(&name) || is_service_link(name, value) {
            continue;
        }
        let key = name[PREFIX.len()..].to_ascii_lowercase().replace('_', ".");
        pairs.push(Pair { key, value: value.to_owned(), source: format!("environment variable {name}") });
    }
    pairs.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(pairs)
}

/// Kubernetes tells every container of a namespace about a service called `highwater` by variables that look like ours.
fn is_service_link(name: &str, value: &str) -> bool {
    name.contains("_SERVICE_HOST") || name.contains("_SERVICE_PORT") || {
        let is_port = name.ends_with("_PORT") || name.contains("_PORT_");
        let is_link = value.starts_with("tcp://") || name.contains("_TCP") || name.contains("_UDP");
        is_port && is_link
    }
}

fn file_pairs(path: &Path) -> Result<Vec<Pair>, LoadError> {
    let text = read_text(path).map_err(|error| LoadError::Unreadable { path: path.to_owned(), error })?;
    let table: toml::Table = text.parse().map_err(|error| LoadError::Malformed { path: path.to_owned(), error })?;
    let mut pairs = Vec::new();
    flatten(path, "", table, &mut pairs)?;
    Ok(pairs)
}

fn read_text(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    std::fs::read_to_string(path)
}

fn flatten(path: &Path, prefix: &str, table: toml::Table, pairs: &mut Vec<Pair>) -> Result<(), LoadError> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if let toml::Value::Table(inner) = value {
            flatten(path, &key, inner, pairs)?;
            continue;
        }
        let value =
            value_text(value).map_err(|kind| LoadError::NotAValue { path: path.to_owned(), key: key.clone(), kind })?;
        pairs.push(Pair { key, value, source: path.display().to_string() });
    }
    Ok(())
}

/// A value as Kafka writes it; a list is joined by commas.
fn value_text(value: toml::Value) -> Result<String, &'static str> {
    match value {
        toml::Value::String(text) => Ok(text),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(flag) => Ok(flag.to_string()),
        toml::Value::Array(elements) => {
            let elements: Result<Vec<_>, _> = elements.into_iter().map(value_text).collect();
            Ok(elements?.join(","))
        }
        toml::Value::Datetime(_) => Err("date"),
        toml::Value::Table(_) => Err("table in a list"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect::<Vec<_>>().into_iter()
    }

    fn args(config: Option<&Path>, set: &[&str]) -> ServeArgs {
        ServeArgs {
            config: config.map(Path::to_owned),
            set: set.iter().map(|&set| set.to_owned()).collect(),
            ..ServeArgs::default()
        }
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn flags_are_stronger_than_the_environment_and_that_is_stronger_than_the_file() {
        let file = file("num.partitions = 1\n[fetch]\nmax.bytes = 2000\n[node]\nid = 1\n");
        let variables = [("HIGHWATER_FETCH_MAX_BYTES", "3000"), ("HIGHWATER_NODE_ID", "2"), ("PATH", "/bin")];
        let config = load(&args(Some(file.path()), &["node.id=3"]), environment(&variables)).unwrap();
        assert_eq!((config.num_partitions, config.fetch_max_bytes, config.node_id.0), (1, 3000, 3));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_nearest_name_and_its_source() {
        let check = |args: &ServeArgs, variables: &[(&str, &str)], expected: &str| {
            assert_eq!(load(args, environment(variables)).unwrap_err().to_string(), expected);
        };
        check(
            &args(None, &["num.partitionz=1"]),
            &[],
            "unknown key num.partitionz: did you mean num.partitions? (set by --set)",
        );
        check(
            &args(None, &[]),
            &[("HIGHWATER_NUM_PARTITION", "1")],
            "unknown key num.partition: did you mean num.partitions? (set by environment variable HIGHWATER_NUM_PARTITION)",
        );
        check(&args(None, &["num.partitions"]), &[], "--set num.partitions is not KEY=VALUE");
    }

    #[test]
    fn lists_and_plain_addresses_become_listeners() {
        let file = file("listeners = [\"PLAINTEXT://h:1\", \"PLAINTEXT://h:2\"]\n");
        let config = load(&args(Some(file.path()), &[]), environment(&[])).unwrap();
        assert_eq!(config.listeners.len(), 2);
        let listen = ServeArgs { listen: vec!["[::1]:7".to_owned()], ..ServeArgs::default() };
        let config = load(&listen, environment(&[])).unwrap();
        assert_eq!((config.listeners[0].host.as_str(), config.listeners[0].port), ("::1", 7));
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_not_configuration() {
        let variables = [
            ("HIGHWATER_SERVICE_HOST", "10.0.0.1"),
            ("HIGHWATER_SERVICE_PORT_KAFKA", "9092"),
            ("HIGHWATER_PORT", "tcp://10.0.0.1:9092"),
            ("HIGHWATER_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("HIGHWATER_BOOTSTRAP", "localhost:9092"),
        ];
        assert_eq!(load(&args(None, &[]), environment(&variables)).unwrap(), BrokerConfig::default());
    }

    #[test]
    fn a_file_that_is_not_toml_is_refused() {
        let file = file("num.partitions == 1");
        let message = load(&args(Some(file.path()), &[]), environment(&[])).unwrap_err().to_string();
        assert!(message.contains("is not valid TOML"), "{message}");
    }
}
