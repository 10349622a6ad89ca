#!/bin/sh
# KAFKA_NODE_ID=1 becomes node.id=1, as in apache/kafka; then the folder is formatted and served.
set -eu
properties=/var/lib/kafka/server.properties
{
    env | sed -n 's/^KAFKA_//p' | while IFS='=' read -r name value; do
        printf '%s=%s\n' "$(printf '%s' "$name" | tr 'A-Z_' 'a-z.')" "$value"
    done
    echo log.dirs=/var/lib/kafka/log
} > "$properties"

java() {
    /opt/java/bin/java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/*' "$@"
}

cluster=$(java kafka.tools.StorageTool random-uuid | tail -n 1)
java kafka.tools.StorageTool format --ignore-formatted -t "$cluster" -c "$properties"
exec /opt/java/bin/java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
    -cp '/opt/kafka/*' kafka.Kafka "$properties"
