//! Which APIs are served, and how clients are told.
//!
//! Clients switch features on by what is advertised, so nothing is advertised that does not work.
//!
//! Source: KIP-511, KIP-584 (features; none is supported).

use std::ops::RangeInclusive;

use highwater_wire::api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse};
use highwater_wire::{ApiKey, ErrorCode};

use crate::controller::Image;

/// The versions of an API that are served; `None` would be for an API that exists only on paper.
pub fn served(api: ApiKey) -> Option<RangeInclusive<i16>> {
    match api {
        ApiKey::Produce
        | ApiKey::Fetch
        | ApiKey::ListOffsets
        | ApiKey::Metadata
        | ApiKey::OffsetCommit
        | ApiKey::OffsetFetch
        | ApiKey::FindCoordinator
        | ApiKey::JoinGroup
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::ApiVersions
        | ApiKey::CreateTopics
        | ApiKey::DeleteTopics
        | ApiKey::DeleteRecords
        | ApiKey::InitProducerId
        | ApiKey::OffsetForLeaderEpoch
        | ApiKey::DescribeConfigs
        | ApiKey::AlterConfigs
        | ApiKey::DescribeLogDirs
        | ApiKey::CreatePartitions
        | ApiKey::DeleteGroups
        | ApiKey::IncrementalAlterConfigs
        | ApiKey::OffsetDelete
        | ApiKey::DescribeCluster
        | ApiKey::ConsumerGroupHeartbeat
        | ApiKey::ConsumerGroupDescribe
        | ApiKey::DescribeTopicPartitions => Some(api.versions()),
    }
}

/// The versions that clients are told of. Produce is advertised from 0, as Kafka does: librdkafka up to 2.11 gives up
/// compression where it is not, and never sends those versions.
pub fn advertised(api: ApiKey) -> Option<RangeInclusive<i16>> {
    let served = served(api)?;
    let first = if api == ApiKey::Produce { 0 } else { *served.start() };
    Some(first..=*served.end())
}

/// The answer to a request in a version that is served.
pub(super) fn respond(request: &ApiVersionsRequest, version: i16, image: &Image) -> ApiVersionsResponse {
    if version >= 3
        && !(is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version))
    {
        return ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code(), ..Default::default() };
    }
    ApiVersionsResponse {
        api_keys: ApiKey::ALL.iter().copied().filter_map(row).collect(),
        finalized_features_epoch: image.offset().0,
        ..Default::default()
    }
}

/// The answer, in version 0, to a request in a version that does not exist: exactly the row that the client needs to
/// ask again.
pub(super) fn unsupported_version() -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: row(ApiKey::ApiVersions).into_iter().collect(),
        ..Default::default()
    }
}

fn row(api: ApiKey) -> Option<ApiVersion> {
    let versions = advertised(api)?;
    Some(ApiVersion { api_key: api as i16, min_version: *versions.start(), max_version: *versions.end() })
}

/// What a client may call itself: letters, digits, dots and dashes, at both ends a letter or digit (KIP-511).
fn is_software_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_names_are_letters_digits_dots_and_dashes() {
        for name in ["librdkafka", "2.15.0", "a", "apache-kafka-java", "v1.21"] {
            assert!(is_software_name(name), "{name}");
        }
        for name in ["", "-", "a-", ".a", "a b", "a_b", "é"] {
            assert!(!is_software_name(name), "{name}");
        }
    }

    #[test]
    fn an_unsupported_version_is_answered_with_one_row() {
        let response = unsupported_version();
        assert_eq!(response.api_keys, [ApiVersion { api_key: 18, min_version: 0, max_version: 4 }]);
    }
}
