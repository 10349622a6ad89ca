"""Owns the order database: what was placed, by us or by others, and what became of it.

Answers no command. Takes orders and requests to cancel them over HTTP, commits them, and emits
OrderPlaced and OrderCancellationRequested. Reacts to those same events, its own and others', and
follows the outcomes: OrderFulfilled, OrderCancelled, OrderNeedsAttention,
OrderCancellationRefused.
"""
