"""Owns the customers: their records, the history of their orders, and their loyalty points.

Answers OpenCustomerRecord and CloseCustomerRecord. Reacts to OrderPlaced, OrderFulfilled,
OrderCancelled, PaymentCaptured, PaymentVoided and PaymentRefunded. Emits nothing.
"""
