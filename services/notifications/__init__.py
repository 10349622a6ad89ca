"""Owns what customers are told by mail: one letter per order and kind, one per onboarding.

Answers no command and emits no event. Reacts to CustomerRegistered (where mail goes), OrderPlaced,
ShipmentDispatched, OrderFulfilled, OrderCancelled, CustomerOnboarded and CustomerRefused, and
sends over SMTP. A guest gets no mail; an order waits until its customer's address is known.
"""
