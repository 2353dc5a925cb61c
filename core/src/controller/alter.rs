//! Changing the configuration of topics, groups and brokers.

use std::collections::BTreeSet;

use highwater_wire::ErrorCode;
use highwater_wire::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};
use highwater_wire::incremental_alter_configs::{
    self as incremental, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::draft::Draft;
use super::error::ApiError;
use super::image::Image;
use super::record::{ConfigOwner, ConfigRecord, Record};
use super::topics::{check_topic_name, named_twice};
use crate::config::{
    Configs, Key, Kind, Refusal, Update, broker_key, check_broker_value, check_group_configs, check_group_value,
    check_topic_configs, check_topic_value, describe, group_key, topic_key,
};
use crate::ids::{BrokerId, TopicId};

/// Codes of resource types.
pub(super) const TOPIC_RESOURCE: i8 = 2;
pub(super) const BROKER_RESOURCE: i8 = 4;
const GROUP_RESOURCE: i8 = 32;

/// Codes of IncrementalAlterConfigs' operations.
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Whose configuration changes.
#[derive(Clone, Copy, Debug)]
enum Owner<'a> {
    Topic(TopicId),
    /// A topic that does not exist, which is said only of a change that could have been made.
    MissingTopic,
    Broker(Option<BrokerId>),
    /// A group, which need not exist.
    Group(&'a str),
}

/// Decides an AlterConfigs request: what a resource does not name loses its value. Every resource succeeds or fails by
/// itself.
pub(super) fn decide_replace(draft: &mut Draft, request: &AlterConfigsRequest) -> AlterConfigsResponse {
    let twice = named_twice(request.resources.iter().map(|one| (one.resource_type, one.resource_name.as_str())));
    let mut responses = Vec::new();
    for resource in &request.resources {
        let result = match twice.contains(&(resource.resource_type, resource.resource_name.as_str())) {
            true => Err(resource_twice()),
            false => replace(draft, resource),
        };
        responses.push(replace_outcome(resource, result.as_ref().err()));
    }
    if request.validate_only {
        draft.discard();
    }
    AlterConfigsResponse { responses, ..AlterConfigsResponse::default() }
}

/// Answers every resource of an AlterConfigs request with the same error.
pub(super) fn refuse_replace(request: &AlterConfigsRequest, error: &ApiError) -> AlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| replace_outcome(resource, Some(error))).collect();
    AlterConfigsResponse { responses, ..AlterConfigsResponse::default() }
}

/// Decides an IncrementalAlterConfigs request. Every resource succeeds or fails by itself.
pub(super) fn decide_incremental(
    draft: &mut Draft,
    request: &IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let twice = named_twice(request.resources.iter().map(|one| (one.resource_type, one.resource_name.as_str())));
    let mut responses = Vec::new();
    for resource in &request.resources {
        let result = match twice.contains(&(resource.resource_type, resource.resource_name.as_str())) {
            true => Err(resource_twice()),
            false => change(draft, resource),
        };
        responses.push(incremental_outcome(resource, result.as_ref().err()));
    }
    if request.validate_only {
        draft.discard();
    }
    IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
}

/// Answers every resource of an IncrementalAlterConfigs request with the same error.
pub(super) fn refuse_incremental(
    request: &IncrementalAlterConfigsRequest,
    error: &ApiError,
) -> IncrementalAlterConfigsResponse {
    let responses = request.resources.iter().map(|resource| incremental_outcome(resource, Some(error))).collect();
    IncrementalAlterConfigsResponse { responses, ..IncrementalAlterConfigsResponse::default() }
}

fn replace(draft: &mut Draft, resource: &AlterConfigsResource) -> Result<(), ApiError> {
    refuse_repeated_keys(resource.configs.iter().map(|config| config.name.as_str()))?;
    let owner = find_owner(draft.image(), resource.resource_type, &resource.resource_name)?;
    let mut after = Configs::new();
    for config in &resource.configs {
        after.insert(config.name.clone(), required(&config.name, config.value.as_ref())?.to_owned());
    }
    commit(draft, owner, &resource.resource_name, after)
}

fn change(draft: &mut Draft, resource: &incremental::AlterConfigsResource) -> Result<(), ApiError> {
    refuse_repeated_keys(resource.configs.iter().map(|config| config.name.as_str()))?;
    let owner = find_owner(draft.image(), resource.resource_type, &resource.resource_name)?;
    let mut after = owner.current(draft.image());
    for config in &resource.configs {
        change_key(draft.image(), owner, &mut after, config)?;
    }
    commit(draft, owner, &resource.resource_name, after)
}

fn change_key(
    image: &Image,
    owner: Owner<'_>,
    configs: &mut Configs,
    change: &incremental::AlterableConfig,
) -> Result<(), ApiError> {
    let name = &change.name;
    match change.config_operation {
        SET => {
            configs.insert(name.clone(), required(name, change.value.as_ref())?.to_owned());
        }
        DELETE => {
            configs.remove(name);
        }
        APPEND | SUBTRACT => {
            let elements = required(name, change.value.as_ref())?;
            let list = list_key(owner, name)?;
            let mut value = elements_of(&owner.effective(image, list, configs));
            for element in elements_of(elements) {
                value.retain(|other| *other != element);
                if change.config_operation == APPEND {
                    value.push(element);
                }
            }
            configs.insert(name.clone(), value.join(","));
        }
        unknown => return Err(invalid_request(format!("there is no operation {unknown}"))),
    }
    Ok(())
}

/// Checks what has changed and adds its records.
fn commit(draft: &mut Draft, owner: Owner<'_>, name: &str, after: Configs) -> Result<(), ApiError> {
    if let Owner::MissingTopic = owner {
        check_topic_name(name)?;
    }
    let before = owner.current(draft.image());
    let changed: Configs = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    owner.check(draft.image(), &changed, &after)?;
    let missing = || ApiError::new(ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name}"));
    let owner = owner.in_record().ok_or_else(missing)?;
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
    let set = changed.into_iter().map(|(key, value)| (key, Some(value)));
    for (key, value) in removed.chain(set) {
        draft.push(Record::Config(ConfigRecord { owner: Some(owner.clone()), key, value }));
    }
    Ok(())
}

impl Owner<'_> {
    fn current(self, image: &Image) -> Configs {
        match self {
            Self::Topic(id) => image.topic_by_id(id).map(|topic| Configs::clone(&topic.configs)).unwrap_or_default(),
            Self::MissingTopic => Configs::new(),
            Self::Broker(id) => Configs::clone(&image.dynamic_configs(id)),
            Self::Group(id) => Configs::clone(&image.group_configs(id)),
        }
    }

    /// The value that counts while the owner's own are `configs`.
    fn effective(self, image: &Image, key: &'static Key, configs: &Configs) -> String {
        image
            .with_layers(|layers| match (self, configs.get(key.name)) {
                (_, Some(value)) => Some(value.clone()),
                (Self::Topic(_) | Self::MissingTopic, None) => {
                    describe::shown(key, &layers.topic_settings(configs, key))
                }
                (Self::Broker(_), None) => describe::shown(key, &layers.broker_settings(key)),
                (Self::Group(_), None) => describe::shown(key, &layers.group_settings(configs, key)),
            })
            .unwrap_or_default()
    }

    fn check(self, image: &Image, changed: &Configs, after: &Configs) -> Result<(), ApiError> {
        match self {
            Self::Topic(_) | Self::MissingTopic => {
                changed.iter().try_for_each(|(name, value)| check_topic_value(name, value))?;
                check_topic_configs(after, image.topic_defaults())?;
            }
            Self::Broker(_) => {
                for (name, value) in changed {
                    let is_read_only = broker_key(name).is_some_and(|key| key.update == Update::ReadOnly);
                    if is_read_only {
                        return Err(invalid_request(format!("{name} can change only when the broker starts")));
                    }
                    check_broker_value(name, value).map_err(|refusal| match refusal {
                        Refusal::InvalidValue { .. } => invalid_request(refusal.to_string()),
                        refusal => refusal.into(),
                    })?;
                }
            }
            Self::Group(_) => image.with_layers(|layers| {
                changed.iter().try_for_each(|(name, value)| check_group_value(name, value, layers))?;
                check_group_configs(after, layers)
            })?,
        }
        Ok(())
    }

    fn in_record(self) -> Option<ConfigOwner> {
        match self {
            Self::Topic(id) => Some(ConfigOwner::Topic(id.into())),
            Self::MissingTopic => None,
            Self::Broker(Some(id)) => Some(ConfigOwner::Broker(id.0)),
            Self::Broker(None) => Some(ConfigOwner::AllBrokers(true)),
            Self::Group(id) => Some(ConfigOwner::Group(id.to_owned())),
        }
    }
}

fn find_owner<'a>(image: &Image, resource_type: i8, name: &'a str) -> Result<Owner<'a>, ApiError> {
    match (resource_type, name) {
        (TOPIC_RESOURCE, "") => Err(invalid_request("a topic's configuration needs the topic's name")),
        (TOPIC_RESOURCE, name) => match image.topic(name) {
            Some(topic) => Ok(Owner::Topic(topic.id)),
            None => Ok(Owner::MissingTopic),
        },
        (BROKER_RESOURCE, "") => Ok(Owner::Broker(None)),
        (BROKER_RESOURCE, id) => {
            let id = id.parse().map(BrokerId).map_err(|_| invalid_request(format!("{id:?} is not a broker's id")))?;
            match image.broker(id) {
                Some(_) => Ok(Owner::Broker(Some(id))),
                None => Err(invalid_request(format!("there is no broker {id}"))),
            }
        }
        (GROUP_RESOURCE, "") => Err(invalid_request("a group's configuration needs the group's id")),
        (GROUP_RESOURCE, id) => Ok(Owner::Group(id)),
        (other, _) => Err(invalid_request(format!("resources of type {other} have no configuration here"))),
    }
}

fn list_key(owner: Owner<'_>, name: &str) -> Result<&'static Key, ApiError> {
    let key = match owner {
        Owner::Topic(_) | Owner::MissingTopic => topic_key(name),
        Owner::Broker(_) => broker_key(name),
        Owner::Group(_) => group_key(name),
    };
    key.filter(|key| key.kind == Kind::List).ok_or_else(|| {
        ApiError::new(ErrorCode::InvalidConfig, format!("{name} is not a list, so nothing can be added or taken away"))
    })
}

fn elements_of(list: &str) -> Vec<String> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty()).map(str::to_owned).collect()
}

fn refuse_repeated_keys<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(invalid_request(format!("the request names {key} twice")));
        }
    }
    Ok(())
}

fn required<'a>(name: &str, value: Option<&'a String>) -> Result<&'a str, ApiError> {
    value.map(String::as_str).ok_or_else(|| invalid_request(format!("{name} has no value")))
}

fn resource_twice() -> ApiError {
    invalid_request("the request names the resource twice")
}

fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, message)
}

fn replace_outcome(resource: &AlterConfigsResource, error: Option<&ApiError>) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse {
        error_code: error.map_or(0, |error| error.code.code()),
        error_message: error.map(|error| error.message.clone()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}

fn incremental_outcome(
    resource: &incremental::AlterConfigsResource,
    error: Option<&ApiError>,
) -> incremental::AlterConfigsResourceResponse {
    incremental::AlterConfigsResourceResponse {
        error_code: error.map_or(0, |error| error.code.code()),
        error_message: error.map(|error| error.message.clone()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}
