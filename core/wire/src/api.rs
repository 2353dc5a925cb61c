//! The APIs that exist: one line each.

use std::fmt;
use std::ops::RangeInclusive;

use crate::decoder::{DecodeError, Decoder};
use crate::encoder::{EncodeError, Encoder};
use crate::message::{Message, RequestMessage, ResponseMessage};

/// Hands the table of APIs to a macro of the caller's: name, key, module, request, response.
#[macro_export]
macro_rules! with_apis {
    ($callback:ident) => {
        $callback! {
            Produce = 0, produce, ProduceRequest, ProduceResponse;
            Fetch = 1, fetch, FetchRequest, FetchResponse;
            ListOffsets = 2, list_offsets, ListOffsetsRequest, ListOffsetsResponse;
            Metadata = 3, metadata, MetadataRequest, MetadataResponse;
            OffsetCommit = 8, offset_commit, OffsetCommitRequest, OffsetCommitResponse;
            OffsetFetch = 9, offset_fetch, OffsetFetchRequest, OffsetFetchResponse;
            FindCoordinator = 10, find_coordinator, FindCoordinatorRequest, FindCoordinatorResponse;
            JoinGroup = 11, join_group, JoinGroupRequest, JoinGroupResponse;
            Heartbeat = 12, heartbeat, HeartbeatRequest, HeartbeatResponse;
            LeaveGroup = 13, leave_group, LeaveGroupRequest, LeaveGroupResponse;
            SyncGroup = 14, sync_group, SyncGroupRequest, SyncGroupResponse;
            DescribeGroups = 15, describe_groups, DescribeGroupsRequest, DescribeGroupsResponse;
            ListGroups = 16, list_groups, ListGroupsRequest, ListGroupsResponse;
            ApiVersions = 18, api_versions, ApiVersionsRequest, ApiVersionsResponse;
            CreateTopics = 19, create_topics, CreateTopicsRequest, CreateTopicsResponse;
            DeleteTopics = 20, delete_topics, DeleteTopicsRequest, DeleteTopicsResponse;
            DeleteRecords = 21, delete_records, DeleteRecordsRequest, DeleteRecordsResponse;
            InitProducerId = 22, init_producer_id, InitProducerIdRequest, InitProducerIdResponse;
            OffsetForLeaderEpoch = 23, offset_for_leader_epoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
            DescribeConfigs = 32, describe_configs, DescribeConfigsRequest, DescribeConfigsResponse;
            AlterConfigs = 33, alter_configs, AlterConfigsRequest, AlterConfigsResponse;
            DescribeLogDirs = 35, describe_log_dirs, DescribeLogDirsRequest, DescribeLogDirsResponse;
            CreatePartitions = 37, create_partitions, CreatePartitionsRequest, CreatePartitionsResponse;
            DeleteGroups = 42, delete_groups, DeleteGroupsRequest, DeleteGroupsResponse;
            IncrementalAlterConfigs = 44, incremental_alter_configs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
            OffsetDelete = 47, offset_delete, OffsetDeleteRequest, OffsetDeleteResponse;
            DescribeCluster = 60, describe_cluster, DescribeClusterRequest, DescribeClusterResponse;
            ConsumerGroupHeartbeat = 68, consumer_group_heartbeat, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
            ConsumerGroupDescribe = 69, consumer_group_describe, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
            DescribeTopicPartitions = 75, describe_topic_partitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
        }
    };
}

macro_rules! define_apis {
    ($($name:ident = $key:literal, $module:ident, $request:ident, $response:ident;)+) => {
        /// An API of the protocol. Its messages lie in the module of its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!("See [`", stringify!($module), "`](crate::", stringify!($module), ").")]
                $name = $key,
            )+
        }

        impl ApiKey {
            /// Every API, by ascending key.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Kafka's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The versions that exist here.
            pub const fn versions(self) -> RangeInclusive<i16> {
                match self {
                    $(Self::$name => <crate::$module::$request as Message>::VERSIONS,)+
                }
            }

            /// The first flexible version; `i16::MAX` if there is none.
            pub const fn flexible_from(self) -> i16 {
                match self {
                    $(Self::$name => <crate::$module::$request as Message>::FLEXIBLE_FROM,)+
                }
            }
        }

        impl TryFrom<i16> for ApiKey {
            type Error = i16;

            fn try_from(key: i16) -> Result<Self, i16> {
                match key {
                    $($key => Ok(Self::$name),)+
                    unknown => Err(unknown),
                }
            }
        }

        $(
            impl RequestMessage for crate::$module::$request {
                const KEY: ApiKey = ApiKey::$name;
                type Response = crate::$module::$response;
            }

            impl ResponseMessage for crate::$module::$response {
                const KEY: ApiKey = ApiKey::$name;
                type Request = crate::$module::$request;
            }

            impl From<crate::$module::$request> for AnyRequest {
                fn from(request: crate::$module::$request) -> Self {
                    Self::$name(request)
                }
            }

            impl From<crate::$module::$response> for AnyResponse {
                fn from(response: crate::$module::$response) -> Self {
                    Self::$name(response)
                }
            }
        )+

        define_any!(
            /// A request of any API.
            AnyRequest { $($name: crate::$module::$request,)+ }
        );
        define_any!(
            /// A response of any API.
            AnyResponse { $($name: crate::$module::$response,)+ }
        );

        impl AnyRequest {
            /// Reads the body. Bytes behind it are ignored, as Kafka does: librdkafka writes the null array of topics in
            /// Metadata 13 with three bytes too many.
            ///
            /// # Errors
            /// There is no such version, or the bytes do not begin with such a request.
            pub fn decode(api: ApiKey, version: i16, mut input: Decoder<'_>) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$name => Message::decode_front(&mut input, version).map(Self::$name),)+
                }
            }
        }

        impl AnyResponse {
            /// Reads the body, which must be the rest of the frame.
            ///
            /// # Errors
            /// There is no such version, or the bytes are not such a response and nothing else.
            pub fn decode(api: ApiKey, version: i16, input: Decoder<'_>) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$name => Message::decode_body(input, version).map(Self::$name),)+
                }
            }
        }
    };
}

macro_rules! define_any {
    ($(#[$doc:meta])+ $any:ident { $($name:ident: $message:ty,)+ }) => {
        $(#[$doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub enum $any {
            $(
                #[doc = concat!("Of the API ", stringify!($name), ".")]
                $name($message),
            )+
        }

        impl $any {
            /// The API it belongs to.
            pub fn key(&self) -> ApiKey {
                match self {
                    $(Self::$name(_) => ApiKey::$name,)+
                }
            }

            /// A random message of an API, in the version of the source.
            #[cfg(any(test, feature = "testing"))]
            pub fn sample(api: ApiKey, source: &mut $crate::testing::Source) -> Self {
                match api {
                    $(ApiKey::$name => Self::$name($crate::testing::Sample::sample(source)),)+
                }
            }

            /// The message, field by field.
            #[cfg(any(test, feature = "testing"))]
            pub fn to_tree(&self) -> $crate::testing::Tree {
                match self {
                    $(Self::$name(message) => $crate::testing::ToTree::to_tree(message),)+
                }
            }

            /// Writes the body behind what was written before.
            ///
            /// # Errors
            /// There is no such version, or it cannot represent the message.
            pub fn encode_body(&self, out: &mut Encoder, version: i16) -> Result<(), EncodeError> {
                match self {
                    $(Self::$name(message) => message.encode_body(out, version),)+
                }
            }
        }
    };
}

with_apis!(define_apis);

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_pair<R: RequestMessage>() {
        assert_eq!(R::VERSIONS, R::Response::VERSIONS, "{}", R::NAME);
        assert_eq!(R::FLEXIBLE_FROM, R::Response::FLEXIBLE_FROM, "{}", R::NAME);
    }

    #[test]
    fn a_request_and_its_response_exist_in_the_same_versions() {
        macro_rules! check_pairs {
            ($($name:ident = $key:literal, $module:ident, $request:ident, $response:ident;)+) => {
                $(check_pair::<crate::$request>();)+
            };
        }
        with_apis!(check_pairs);
    }

    #[test]
    fn a_key_names_one_api_and_an_unknown_one_none() {
        assert!(ApiKey::ALL.is_sorted());
        for &api in ApiKey::ALL {
            assert_eq!(ApiKey::try_from(api as i16), Ok(api));
        }
        assert_eq!(ApiKey::try_from(-1), Err(-1));
        assert_eq!(ApiKey::try_from(i16::MAX), Err(i16::MAX));
    }
}
