"""Stand-ins for the outside world: a payment provider, a carrier and a mail server.

Their interfaces are real (HTTP with an Idempotency-Key, SMTP) and their state survives `kill -9`,
so production points the same gateways elsewhere and nothing else changes. They know nothing of
Kafka or of Baton. The values that make them refuse, dawdle or fall silent: `values.TEST_VALUES`.
"""
