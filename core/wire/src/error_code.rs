//! Kafka's error codes.
//!
//! Source: the error table of Kafka 4.3. An error is retriable if Kafka's Java client takes it for one.

use std::fmt;

macro_rules! error_codes {
    ($($variant:ident = $code:literal, $name:literal, $kind:ident, $description:literal;)+) => {
        /// What went wrong with a request or a part of it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = concat!($name, ": ", $description, ".")]
                $variant = $code,
            )+
        }

        impl ErrorCode {
            /// Every code, by ascending number.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Kafka's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What it means, in words that fit behind a colon.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)+
                }
            }

            /// Whether the same request may succeed later.
            pub const fn retriable(self) -> bool {
                match self {
                    $(Self::$variant => is_retriable!($kind),)+
                }
            }
        }

        impl TryFrom<i16> for ErrorCode {
            type Error = i16;

            fn try_from(code: i16) -> Result<Self, i16> {
                match code {
                    $($code => Ok(Self::$variant),)+
                    unknown => Err(unknown),
                }
            }
        }
    };
}

macro_rules! is_retriable {
    (retriable) => {
        true
    };
    (fatal) => {
        false
    };
}

error_codes! {
    UnknownServerError = -1, "UNKNOWN_SERVER_ERROR", fatal, "the broker met a situation that it has no other code for";
    None = 0, "NONE", fatal, "nothing went wrong";
    OffsetOutOfRange = 1, "OFFSET_OUT_OF_RANGE", fatal, "the offset lies outside of the partition's log";
    CorruptMessage = 2, "CORRUPT_MESSAGE", retriable, "the record batch does not match its checksum, or is damaged otherwise";
    UnknownTopicOrPartition = 3, "UNKNOWN_TOPIC_OR_PARTITION", retriable, "the broker knows no such topic or partition";
    InvalidFetchSize = 4, "INVALID_FETCH_SIZE", fatal, "the fetch size is not valid";
    LeaderNotAvailable = 5, "LEADER_NOT_AVAILABLE", retriable, "the partition has no leader at the moment";
    NotLeaderOrFollower = 6, "NOT_LEADER_OR_FOLLOWER", retriable, "the broker is not the partition's leader, or has no replica of it";
    RequestTimedOut = 7, "REQUEST_TIMED_OUT", retriable, "the answer was not ready in time";
    BrokerNotAvailable = 8, "BROKER_NOT_AVAILABLE", fatal, "the broker is not available";
    ReplicaNotAvailable = 9, "REPLICA_NOT_AVAILABLE", retriable, "the replica is not available";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", fatal, "the record batch is larger than the topic allows";
    StaleControllerEpoch = 11, "STALE_CONTROLLER_EPOCH", fatal, "the request comes from a controller that was replaced";
    OffsetMetadataTooLarge = 12, "OFFSET_METADATA_TOO_LARGE", fatal, "the metadata of the committed offset is too long";
    NetworkException = 13, "NETWORK_EXCEPTION", retriable, "the connection ended before the answer";
    CoordinatorLoadInProgress = 14, "COORDINATOR_LOAD_IN_PROGRESS", retriable, "the coordinator is still loading its state";
    CoordinatorNotAvailable = 15, "COORDINATOR_NOT_AVAILABLE", retriable, "the coordinator is not available";
    NotCoordinator = 16, "NOT_COORDINATOR", retriable, "the broker is not the coordinator of this group or transactional id";
    InvalidTopicException = 17, "INVALID_TOPIC_EXCEPTION", fatal, "the topic's name is not valid, or the topic is not open to clients";
    RecordListTooLarge = 18, "RECORD_LIST_TOO_LARGE", fatal, "the record batch is larger than a segment of the log";
    NotEnoughReplicas = 19, "NOT_ENOUGH_REPLICAS", retriable, "the ISR has fewer members than the topic demands";
    NotEnoughReplicasAfterAppend = 20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", retriable, "the records were written, but to fewer replicas than the topic demands";
    InvalidRequiredAcks = 21, "INVALID_REQUIRED_ACKS", fatal, "the number of acknowledgements is none of -1, 0 and 1";
    IllegalGeneration = 22, "ILLEGAL_GENERATION", fatal, "the member belongs to another generation of the group";
    InconsistentGroupProtocol = 23, "INCONSISTENT_GROUP_PROTOCOL", fatal, "the member shares no protocol with the group";
    InvalidGroupId = 24, "INVALID_GROUP_ID", fatal, "the group's id is not valid";
    UnknownMemberId = 25, "UNKNOWN_MEMBER_ID", fatal, "the group has no such member";
    InvalidSessionTimeout = 26, "INVALID_SESSION_TIMEOUT", fatal, "the session time-out lies outside of what the broker allows";
    RebalanceInProgress = 27, "REBALANCE_IN_PROGRESS", fatal, "the group is rebalancing: the member must join again";
    InvalidCommitOffsetSize = 28, "INVALID_COMMIT_OFFSET_SIZE", fatal, "the commit is larger than the broker allows";
    TopicAuthorizationFailed = 29, "TOPIC_AUTHORIZATION_FAILED", fatal, "not authorized for the topic";
    GroupAuthorizationFailed = 30, "GROUP_AUTHORIZATION_FAILED", fatal, "not authorized for the group";
    ClusterAuthorizationFailed = 31, "CLUSTER_AUTHORIZATION_FAILED", fatal, "not authorized for the cluster";
    InvalidTimestamp = 32, "INVALID_TIMESTAMP", fatal, "the timestamp lies outside of what the topic allows";
    UnsupportedSaslMechanism = 33, "UNSUPPORTED_SASL_MECHANISM", fatal, "the SASL mechanism is not enabled";
    IllegalSaslState = 34, "ILLEGAL_SASL_STATE", fatal, "the request does not fit the state of the authentication";
    UnsupportedVersion = 35, "UNSUPPORTED_VERSION", fatal, "the broker does not serve this version of the API";
    TopicAlreadyExists = 36, "TOPIC_ALREADY_EXISTS", fatal, "a topic of this name exists already";
    InvalidPartitions = 37, "INVALID_PARTITIONS", fatal, "the number of partitions is not valid";
    InvalidReplicationFactor = 38, "INVALID_REPLICATION_FACTOR", fatal, "the replication factor is below one, or larger than the number of brokers";
    InvalidReplicaAssignment = 39, "INVALID_REPLICA_ASSIGNMENT", fatal, "the replica assignment is not valid";
    InvalidConfig = 40, "INVALID_CONFIG", fatal, "the configuration is not valid";
    NotController = 41, "NOT_CONTROLLER", retriable, "the broker is not the controller";
    InvalidRequest = 42, "INVALID_REQUEST", fatal, "the request contradicts itself or the protocol";
    UnsupportedForMessageFormat = 43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", fatal, "the format of the records does not support the request";
    PolicyViolation = 44, "POLICY_VIOLATION", fatal, "a policy of the cluster forbids it";
    OutOfOrderSequenceNumber = 45, "OUT_OF_ORDER_SEQUENCE_NUMBER", fatal, "the producer's sequence numbers have a gap";
    DuplicateSequenceNumber = 46, "DUPLICATE_SEQUENCE_NUMBER", fatal, "the producer's sequence number was used before";
    InvalidProducerEpoch = 47, "INVALID_PRODUCER_EPOCH", fatal, "the producer's epoch is out of date";
    InvalidTxnState = 48, "INVALID_TXN_STATE", fatal, "the transaction is in a state that does not allow it";
    InvalidProducerIdMapping = 49, "INVALID_PRODUCER_ID_MAPPING", fatal, "the producer id does not belong to this transactional id";
    InvalidTransactionTimeout = 50, "INVALID_TRANSACTION_TIMEOUT", fatal, "the transaction time-out is larger than the broker allows";
    ConcurrentTransactions = 51, "CONCURRENT_TRANSACTIONS", retriable, "the transaction is busy with another operation";
    TransactionCoordinatorFenced = 52, "TRANSACTION_COORDINATOR_FENCED", fatal, "the transaction coordinator was replaced";
    TransactionalIdAuthorizationFailed = 53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", fatal, "not authorized for the transactional id";
    SecurityDisabled = 54, "SECURITY_DISABLED", fatal, "the broker runs without this security feature";
    OperationNotAttempted = 55, "OPERATION_NOT_ATTEMPTED", fatal, "the operation was not tried, because another of the same request failed";
    KafkaStorageError = 56, "KAFKA_STORAGE_ERROR", retriable, "the broker could not use its disk";
    LogDirNotFound = 57, "LOG_DIR_NOT_FOUND", fatal, "the broker has no such log directory";
    SaslAuthenticationFailed = 58, "SASL_AUTHENTICATION_FAILED", fatal, "the authentication failed";
    UnknownProducerId = 59, "UNKNOWN_PRODUCER_ID", fatal, "the broker remembers nothing of this producer";
    ReassignmentInProgress = 60, "REASSIGNMENT_IN_PROGRESS", fatal, "the partition is being reassigned";
    DelegationTokenAuthDisabled = 61, "DELEGATION_TOKEN_AUTH_DISABLED", fatal, "delegation tokens are switched off";
    DelegationTokenNotFound = 62, "DELEGATION_TOKEN_NOT_FOUND", fatal, "the broker knows no such delegation token";
    DelegationTokenOwnerMismatch = 63, "DELEGATION_TOKEN_OWNER_MISMATCH", fatal, "the delegation token belongs to somebody else";
    DelegationTokenRequestNotAllowed = 64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", fatal, "delegation tokens cannot be asked for over this connection";
    DelegationTokenAuthorizationFailed = 65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", fatal, "not authorized for the delegation token";
    DelegationTokenExpired = 66, "DELEGATION_TOKEN_EXPIRED", fatal, "the delegation token has expired";
    InvalidPrincipalType = 67, "INVALID_PRINCIPAL_TYPE", fatal, "principals of this type are not supported";
    NonEmptyGroup = 68, "NON_EMPTY_GROUP", fatal, "the group still has members";
    GroupIdNotFound = 69, "GROUP_ID_NOT_FOUND", fatal, "there is no such group";
    FetchSessionIdNotFound = 70, "FETCH_SESSION_ID_NOT_FOUND", retriable, "the broker knows no such fetch session";
    InvalidFetchSessionEpoch = 71, "INVALID_FETCH_SESSION_EPOCH", retriable, "the request does not follow the last one of its fetch session";
    ListenerNotFound = 72, "LISTENER_NOT_FOUND", retriable, "the leader has no listener of the name that this connection uses";
    TopicDeletionDisabled = 73, "TOPIC_DELETION_DISABLED", fatal, "the broker does not delete topics";
    FencedLeaderEpoch = 74, "FENCED_LEADER_EPOCH", retriable, "the leader epoch is older than the broker's";
    UnknownLeaderEpoch = 75, "UNKNOWN_LEADER_EPOCH", retriable, "the leader epoch is newer than the broker's";
    UnsupportedCompressionType = 76, "UNSUPPORTED_COMPRESSION_TYPE", fatal, "the client cannot read the topic's compression";
    StaleBrokerEpoch = 77, "STALE_BROKER_EPOCH", fatal, "the broker was registered again since";
    OffsetNotAvailable = 78, "OFFSET_NOT_AVAILABLE", retriable, "the leader is too new to know the offset for certain";
    MemberIdRequired = 79, "MEMBER_ID_REQUIRED", fatal, "the member needs an id before it may join";
    PreferredLeaderNotAvailable = 80, "PREFERRED_LEADER_NOT_AVAILABLE", retriable, "the preferred leader is not available";
    GroupMaxSizeReached = 81, "GROUP_MAX_SIZE_REACHED", fatal, "the group has as many members as it may have";
    FencedInstanceId = 82, "FENCED_INSTANCE_ID", fatal, "another member has taken over the static member's id";
    EligibleLeadersNotAvailable = 83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", retriable, "no replica that may be elected is available";
    ElectionNotNeeded = 84, "ELECTION_NOT_NEEDED", retriable, "the partition has the leader that it should have";
    NoReassignmentInProgress = 85, "NO_REASSIGNMENT_IN_PROGRESS", fatal, "no reassignment is going on";
    GroupSubscribedToTopic = 86, "GROUP_SUBSCRIBED_TO_TOPIC", fatal, "the group is subscribed to the topic";
    InvalidRecord = 87, "INVALID_RECORD", fatal, "a record does not fulfil what the broker or the topic demands";
    UnstableOffsetCommit = 88, "UNSTABLE_OFFSET_COMMIT", retriable, "offsets are waiting for a transaction to end";
    ThrottlingQuotaExceeded = 89, "THROTTLING_QUOTA_EXCEEDED", retriable, "a quota is used up";
    ProducerFenced = 90, "PRODUCER_FENCED", fatal, "a newer producer uses the same transactional id";
    ResourceNotFound = 91, "RESOURCE_NOT_FOUND", fatal, "the request names something that does not exist";
    DuplicateResource = 92, "DUPLICATE_RESOURCE", fatal, "the request names the same thing twice";
    UnacceptableCredential = 93, "UNACCEPTABLE_CREDENTIAL", fatal, "the credential does not fulfil what the broker demands";
    InconsistentVoterSet = 94, "INCONSISTENT_VOTER_SET", fatal, "the set of voters differs between sender and receiver";
    InvalidUpdateVersion = 95, "INVALID_UPDATE_VERSION", fatal, "the update is not valid for this feature";
    FeatureUpdateFailed = 96, "FEATURE_UPDATE_FAILED", fatal, "the features could not be changed";
    PrincipalDeserializationFailure = 97, "PRINCIPAL_DESERIALIZATION_FAILURE", fatal, "the forwarded principal cannot be read";
    SnapshotNotFound = 98, "SNAPSHOT_NOT_FOUND", fatal, "there is no such snapshot";
    PositionOutOfRange = 99, "POSITION_OUT_OF_RANGE", fatal, "the position lies outside of the snapshot";
    UnknownTopicId = 100, "UNKNOWN_TOPIC_ID", retriable, "the broker knows no topic of this id";
    DuplicateBrokerRegistration = 101, "DUPLICATE_BROKER_REGISTRATION", fatal, "a broker with this id is registered already";
    BrokerIdNotRegistered = 102, "BROKER_ID_NOT_REGISTERED", fatal, "no broker with this id is registered";
    InconsistentTopicId = 103, "INCONSISTENT_TOPIC_ID", retriable, "the topic's id and its name do not belong together";
    InconsistentClusterId = 104, "INCONSISTENT_CLUSTER_ID", fatal, "the request is meant for another cluster";
    TransactionalIdNotFound = 105, "TRANSACTIONAL_ID_NOT_FOUND", fatal, "there is no such transactional id";
    FetchSessionTopicIdError = 106, "FETCH_SESSION_TOPIC_ID_ERROR", retriable, "the fetch session mixes topic names and topic ids";
    IneligibleReplica = 107, "INELIGIBLE_REPLICA", fatal, "a replica of the new ISR may not be in it";
    NewLeaderElected = 108, "NEW_LEADER_ELECTED", fatal, "the ISR was changed, and the leader with it";
    OffsetMovedToTieredStorage = 109, "OFFSET_MOVED_TO_TIERED_STORAGE", fatal, "the offset has moved to tiered storage";
    FencedMemberEpoch = 110, "FENCED_MEMBER_EPOCH", fatal, "the member's epoch is fenced: it must give up its partitions and join again";
    UnreleasedInstanceId = 111, "UNRELEASED_INSTANCE_ID", fatal, "the static member's id is still in use";
    UnsupportedAssignor = 112, "UNSUPPORTED_ASSIGNOR", fatal, "the group supports no such assignor";
    StaleMemberEpoch = 113, "STALE_MEMBER_EPOCH", fatal, "the member's epoch is out of date: it must wait for the next heartbeat";
    MismatchedEndpointType = 114, "MISMATCHED_ENDPOINT_TYPE", fatal, "the request reached a controller instead of a broker, or the other way round";
    UnsupportedEndpointType = 115, "UNSUPPORTED_ENDPOINT_TYPE", fatal, "endpoints of this type are not supported";
    UnknownControllerId = 116, "UNKNOWN_CONTROLLER_ID", fatal, "there is no such controller";
    UnknownSubscriptionId = 117, "UNKNOWN_SUBSCRIPTION_ID", fatal, "the telemetry subscription is out of date";
    TelemetryTooLarge = 118, "TELEMETRY_TOO_LARGE", fatal, "the telemetry is larger than the broker accepts";
    InvalidRegistration = 119, "INVALID_REGISTRATION", fatal, "the broker's registration is not valid";
    TransactionAbortable = 120, "TRANSACTION_ABORTABLE", fatal, "the transaction must be aborted, after which the producer may go on";
    InvalidRecordState = 121, "INVALID_RECORD_STATE", fatal, "the record is in a state that does not allow it";
    ShareSessionNotFound = 122, "SHARE_SESSION_NOT_FOUND", retriable, "the broker knows no such share session";
    InvalidShareSessionEpoch = 123, "INVALID_SHARE_SESSION_EPOCH", retriable, "the request does not follow the last one of its share session";
    FencedStateEpoch = 124, "FENCED_STATE_EPOCH", fatal, "the state epoch of the share group does not match";
    InvalidVoterKey = 125, "INVALID_VOTER_KEY", fatal, "the voter's key is not that of the replica";
    DuplicateVoter = 126, "DUPLICATE_VOTER", fatal, "the replica is a voter already";
    VoterNotFound = 127, "VOTER_NOT_FOUND", fatal, "the replica is not a voter";
    InvalidRegularExpression = 128, "INVALID_REGULAR_EXPRESSION", fatal, "the regular expression is not valid";
    RebootstrapRequired = 129, "REBOOTSTRAP_REQUIRED", fatal, "the client must look for the cluster anew, from its bootstrap addresses";
    StreamsInvalidTopology = 130, "STREAMS_INVALID_TOPOLOGY", fatal, "the topology is not valid";
    StreamsInvalidTopologyEpoch = 131, "STREAMS_INVALID_TOPOLOGY_EPOCH", fatal, "the topology's epoch is not valid";
    StreamsTopologyFenced = 132, "STREAMS_TOPOLOGY_FENCED", fatal, "the topology is out of date";
    ShareSessionLimitReached = 133, "SHARE_SESSION_LIMIT_REACHED", retriable, "the broker has as many share sessions as it may have";
}

impl ErrorCode {
    /// The number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }
}

impl From<ErrorCode> for i16 {
    fn from(error: ErrorCode) -> Self {
        error.code()
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_belong_together_without_a_gap() {
        for (code, expected) in (-1..).zip(ErrorCode::ALL) {
            assert_eq!(ErrorCode::try_from(code), Ok(*expected));
            assert_eq!(expected.code(), code);
        }
        assert_eq!(ErrorCode::try_from(-2), Err(-2));
        assert_eq!(ErrorCode::try_from(134), Err(134));
    }
}
