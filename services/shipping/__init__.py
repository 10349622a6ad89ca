"""Owns the shipment of every order.

Answers BookShipment, CancelShipment and DispatchShipment by asking the carrier. Emits
ShipmentDispatched when the goods have left. Reacts to nothing.
"""
