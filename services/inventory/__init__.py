"""Owns the stock of every product and the reservation of every order.

Answers ReserveStock (whole, or refused with the short products) and ReleaseStock. Reacts to
GoodsReceived (a delivery is added once) and ShipmentDispatched (reserved goods are gone). Emits
StockLow when a reservation brings the free units of a product down to the threshold.
"""
