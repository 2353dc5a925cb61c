//! What was set on a topic or group, and setting it.

use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use highwater_core::client::Target;
use highwater_wire::ErrorCode;
use highwater_wire::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use highwater_wire::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use serde::Serialize;

use super::error::{CliError, error_of};
use super::options::parse_pair;
use super::table::print_line;
use crate::client::Session;

const SET: i8 = 0;
const DELETE: i8 = 1;

/// What has a configuration of its own.
#[derive(Clone, Copy, Debug)]
pub enum Resource<'a> {
    /// A topic, by its name.
    Topic(&'a str),
    /// A group, by its id.
    Group(&'a str),
}

/// Keys and values that were set, as far as they may be shown.
pub type Configured = BTreeMap<String, Option<String>>;

/// How to change a configuration.
#[derive(Clone, Debug, Args)]
pub struct Changes {
    /// Set a configuration key; may be given several times.
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = parse_pair)]
    config: Vec<(String, String)>,
    /// Delete a configuration key, so that the broker's default holds; may be given several times.
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
}

/// What has changed, for programs.
#[derive(Serialize)]
pub struct ChangedRow<'a> {
    config_set: BTreeMap<&'a str, &'a str>,
    config_deleted: &'a [String],
}

impl Resource<'_> {
    /// Its code in requests.
    fn code(self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Group(_) => 32,
        }
    }

    /// The code that tells values which were set on it from the broker's.
    fn source(self) -> i8 {
        match self {
            Self::Topic(_) => 1,
            Self::Group(_) => 8,
        }
    }

    fn name(self) -> String {
        match self {
            Self::Topic(name) | Self::Group(name) => name.to_owned(),
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(id) => write!(f, "group {id}"),
        }
    }
}

impl Changes {
    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.delete_config.is_empty()
    }

    /// Changes the configuration of a topic or group.
    pub async fn apply(&self, session: &mut Session, resource: Resource<'_>) -> Result<(), CliError> {
        let set = |(name, value): &(String, String)| AlterableConfig {
            name: name.clone(),
            config_operation: SET,
            value: Some(value.clone()),
        };
        let delete = |name: &String| AlterableConfig { name: name.clone(), config_operation: DELETE, value: None };
        let altered = AlterConfigsResource {
            resource_type: resource.code(),
            resource_name: resource.name(),
            configs: self.config.iter().map(set).chain(self.delete_config.iter().map(delete)).collect(),
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![altered], validate_only: false };
        let response = session.call(Target::Controller, request).await?;
        for result in &response.responses {
            if let Some(code) = error_of(result.error_code) {
                let action = format!("configure {resource}");
                return Err(CliError::refused(&action, code, result.error_message.as_deref()));
            }
        }
        Ok(())
    }

    /// What has changed, for programs.
    pub fn row(&self) -> ChangedRow<'_> {
        ChangedRow {
            config_set: self.config.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect(),
            config_deleted: &self.delete_config,
        }
    }
}

/// What was set on a topic or group itself.
pub async fn configured(session: &mut Session, resource: Resource<'_>) -> Result<Configured, CliError> {
    let described = DescribeConfigsResource {
        resource_type: resource.code(),
        resource_name: resource.name(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![described], ..Default::default() };
    let response = session.call(Target::Any, request).await?;
    let mut config = BTreeMap::new();
    for result in response.results {
        match (error_of(result.error_code), resource) {
            (None, _) => {}
            // A broker that is older than the configuration of groups.
            (Some(ErrorCode::InvalidRequest), Resource::Group(_)) => continue,
            (Some(code), _) => {
                let action = format!("describe {resource}");
                return Err(CliError::refused(&action, code, result.error_message.as_deref()));
            }
        }
        let own = result.configs.into_iter().filter(|row| row.config_source == resource.source());
        config.extend(own.map(|row| (row.name, row.value)));
    }
    Ok(config)
}

/// Prints what was set, one key a line.
pub fn print(config: &Configured) -> Result<(), CliError> {
    for (key, value) in config {
        print_line(&format!("  {key}={}", value.as_deref().unwrap_or("(hidden)")))?;
    }
    Ok(())
}
