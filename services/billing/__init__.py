"""Owns the payment of every order, the ledger and the customers' accounts.

Answers AuthorisePayment, VoidPayment, CapturePayment and RefundPayment by asking the payment
provider, and OpenAccount and CloseAccount from its own rows. Emits PaymentCaptured, PaymentVoided
(only when money was given back) and PaymentRefunded. Reacts to nothing.
"""
