//! DescribeConfigs: every key of a topic, group or broker with its value, its type, where the value is from, and what it does.
//!
//! Sources: KIP-133, KIP-226 (synonyms), KIP-569 (types and documentation).

use highwater_wire::ErrorCode;
use highwater_wire::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult,
};

use super::call::Context;
use crate::config::describe::{Detail, all_brokers_rows, broker_rows, group_rows, topic_rows};
use crate::controller::check_topic_name;

/// The types of resources that have a configuration here.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const GROUP: i8 = 32;

/// Answers DescribeConfigs.
pub(super) fn describe(context: &Context<'_>, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let describe = |resource: &DescribeConfigsResource| {
        let detail = Detail {
            keys: resource.configuration_keys.as_deref().filter(|keys| !keys.is_empty()),
            synonyms: request.include_synonyms,
            documentation: request.include_documentation,
        };
        let (code, error_message, configs) = match rows(context, resource, detail) {
            Ok(rows) => (ErrorCode::None, None, rows),
            Err((code, message)) => (code, Some(message), Vec::new()),
        };
        DescribeConfigsResult {
            error_code: code.code(),
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs,
        }
    };
    DescribeConfigsResponse { results: request.resources.iter().map(describe).collect(), ..Default::default() }
}

fn rows(
    context: &Context<'_>,
    resource: &DescribeConfigsResource,
    detail: Detail<'_>,
) -> Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)> {
    let (image, name) = (context.image, resource.resource_name.as_str());
    match resource.resource_type {
        TOPIC => {
            check_topic_name(name).map_err(|error| (error.code, error.message))?;
            let topic = image
                .topic(name)
                .ok_or_else(|| (ErrorCode::UnknownTopicOrPartition, format!("there is no topic {name:?}")))?;
            Ok(image.with_layers(|layers| topic_rows(&topic.configs, layers, detail)))
        }
        BROKER if name.is_empty() => Ok(all_brokers_rows(&image.dynamic_configs(None), detail)),
        BROKER if name.parse() == Ok(context.config.node_id.0) => {
            Ok(image.with_layers(|layers| broker_rows(layers, detail)))
        }
        BROKER => {
            let here = context.config.node_id;
            Err((ErrorCode::InvalidRequest, format!("this is broker {here}; it cannot describe broker {name:?}")))
        }
        GROUP if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "a group's configuration needs the group's id".to_owned()))
        }
        GROUP => Ok(image.with_layers(|layers| group_rows(&image.group_configs(name), layers, detail))),
        other => Err((ErrorCode::InvalidRequest, format!("resources of type {other} have no configuration here"))),
    }
}
