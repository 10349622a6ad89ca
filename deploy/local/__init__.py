"""The whole company on one machine: Kafka, every process, sandboxes, ports and state.

`supervisor` keeps processes, `kafka` is the broker, `stack` says what runs, `verbs` is what people
type. Nothing here is needed where a cluster runs the services.
"""
