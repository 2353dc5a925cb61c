# Apache Kafka from Maven Central, to be sourced: its class path, its tools, and one broker as it comes.
#
#   kafka_jars                 fetches the jars once and sets KAFKA_CLASSPATH
#   kafka_java ARG...          java with that class path, e.g. kafka_java org.apache.kafka.tools.TopicCommand --list ...;
#                              KAFKA_JAVA_FLAGS are more flags for it
#   kafka_start DIR PORT       a broker on 127.0.0.1:PORT with its data in DIR; sets KAFKA_PID and KAFKA_ADDRESS once it
#                              answers. KAFKA_PROPERTIES are more lines for its server.properties
#   kafka_stop                 ends it and waits

KAFKA_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
KAFKA_VERSION=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$KAFKA_HOME/pom.xml")

kafka_jars() {
  local libs=${XDG_CACHE_HOME:-$HOME/.cache}/highwater/kafka-$KAFKA_VERSION
  KAFKA_CLASSPATH="$libs/*"
  [ -e "$libs/.complete" ] && return
  mkdir -p "$libs"
  mvn -q -B -f "$KAFKA_HOME/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" >&2
  touch "$libs/.complete"
}

# shellcheck disable=SC2086 # flags are words
kafka_java() { java ${KAFKA_JAVA_FLAGS:-} -cp "$KAFKA_CLASSPATH" "-Dlog4j2.configurationFile=$KAFKA_HOME/log4j2.yaml" "$@"; }

kafka_start() {
  local dir=$1 port=$2
  mkdir -p "$dir"
  cat > "$dir/server.properties" << PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
log.dirs=$dir/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
${KAFKA_PROPERTIES:-}
PROPERTIES
  kafka_java kafka.tools.StorageTool format -t highwaterComparison00w -c "$dir/server.properties" > "$dir/format.log"
  # The heap and collector flags are those of Kafka's own start script.
  java -Xms1G -Xmx1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
    -XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true -cp "$KAFKA_CLASSPATH" \
    "-Dlog4j2.configurationFile=$KAFKA_HOME/log4j2.yaml" kafka.Kafka "$dir/server.properties" \
    > "$dir/broker.log" 2>&1 < /dev/null &
  KAFKA_PID=$!
  KAFKA_ADDRESS=127.0.0.1:$port
  local _
  for _ in $(seq 300); do
    (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null && return
    kill -0 "$KAFKA_PID" 2> /dev/null || break
    sleep 0.1
  done
  tail -20 "$dir/broker.log" >&2
  echo "Kafka did not start" >&2
  return 1
}

kafka_stop() {
  [ -n "${KAFKA_PID:-}" ] || return 0
  kill "$KAFKA_PID" 2> /dev/null || true
  wait "$KAFKA_PID" 2> /dev/null || true
  KAFKA_PID=
}
