"""Owns the numbers: facts per order, totals per day, products that ran low, customer profiles.

Answers StartProfile and EraseProfile. Reacts to every event and outcome there is: orders placed
and cancelled, payments, dispatches, deliveries, low stock, customers onboarded. Emits nothing.
"""
