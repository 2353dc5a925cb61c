#!/usr/bin/env bash
# Kafka's own command line tools against a broker: tools.sh BOOTSTRAP RECORDS PREFIX.
set -euo pipefail
bootstrap=$1 topic=$3-tools
source "$(dirname "$0")/../../kafka/kafka.sh"
kafka_jars
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# Short runs: the first compiler only, the simplest collector.
KAFKA_JAVA_FLAGS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
topics() { tool TopicCommand --bootstrap-server "$bootstrap" --topic "$topic" "$@"; }
configs() { kafka_java kafka.admin.ConfigCommand --bootstrap-server "$bootstrap" --entity-type topics --entity-name "$topic" "$@"; }
group_configs() { kafka_java kafka.admin.ConfigCommand --bootstrap-server "$bootstrap" --entity-type groups --entity-name "$topic" "$@"; }
tool() { local name=$1; shift; kafka_java "org.apache.kafka.tools.$name" "$@"; }

# shows WHAT PATTERN COMMAND...: the command succeeds and its output matches.
shows() {
  local what=$1 pattern=$2; shift 2
  if timeout 60 "$@" > "$work/got" 2>&1 < "${input:-/dev/null}" && echo >> "$work/got" && grep -Eqz -- "$pattern" "$work/got"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "java tools: $what: no «$pattern» in:"
    head -c 1000 "$work/got"
  fi
}
export -f topics configs group_configs tool kafka_java
export bootstrap topic KAFKA_CLASSPATH KAFKA_HOME KAFKA_JAVA_FLAGS
run() { shows "$1" "$2" bash -c "$3"; }

run "create" "Created topic $topic" 'topics --create --partitions 3 --config retention.ms=7200000'
run "describe" 'PartitionCount: 3.*Partition: 2' 'topics --describe'
run "list" "$topic" 'topics --list'
run "more partitions" '^[[:space:]]' 'topics --alter --partitions 4'
run "describe a configuration" 'retention.ms=7200000' 'configs --describe'
run "alter a configuration" 'Completed updating' 'configs --alter --add-config max.message.bytes=100000'
run "describe it again" 'max.message.bytes=100000' 'configs --describe'
run "alter a group's configuration" 'Completed updating' 'group_configs --alter --add-config consumer.session.timeout.ms=50000'
run "describe it" 'consumer.session.timeout.ms=50000.*DYNAMIC_GROUP_CONFIG' 'group_configs --describe'
printf 'h1:x,h2:y\tk1\tv1\nh1:z\tk2\tv2\nh3:\tk3\tNUL\n' > "$work/lines"
input=$work/lines run "console producer" '^>*[[:space:]]' 'tool ConsoleProducer --bootstrap-server "$bootstrap" --topic "$topic-console" \
  --compression-codec zstd --reader-property parse.key=true --reader-property parse.headers=true --reader-property null.marker=NUL'
run "console consumer" $'h1:x,h2:y\tk1\tv1\nh1:z\tk2\tv2\nh3:\tk3\tnull\n' 'tool consumer.ConsoleConsumer \
  --bootstrap-server "$bootstrap" --topic "$topic-console" --partition 0 --offset earliest --max-messages 3 --timeout-ms 20000 \
  --formatter-property print.key=true --formatter-property print.headers=true'
run "offsets" "$topic-console:0:3" 'tool GetOffsetShell --bootstrap-server "$bootstrap" --topic "$topic-console"'
echo "{\"partitions\": [{\"topic\": \"$topic-console\", \"partition\": 0, \"offset\": 2}], \"version\": 1}" > "$work/delete.json"
run "delete records" 'low_watermark: 2' "tool DeleteRecordsCommand --bootstrap-server \"\$bootstrap\" --offset-json-file $work/delete.json"
run "log directories" "$topic-console-0" 'tool LogDirsCommand --bootstrap-server "$bootstrap" --describe --topic-list "$topic-console"'
run "API versions" 'Produce\(0\): 0 to 13' 'tool BrokerApiVersionsCommand --bootstrap-server "$bootstrap"'
run "cluster id" 'Cluster ID: ' 'tool ClusterTool cluster-id --bootstrap-server "$bootstrap"'
run "verifiable producer" '"acked":500' 'tool VerifiableProducer --bootstrap-server "$bootstrap" --topic "$topic" --max-messages 500 --acks -1'
run "delete" '^[[:space:]]' 'topics --delete'
echo "java tools $KAFKA_VERSION: $passed checks passed$([ "$failed" = 0 ] || echo ", $failed FAILED")"
[ "$failed" = 0 ]
