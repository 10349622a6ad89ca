"""How Baton is run: the stack of one machine, and what operators need of it elsewhere.

Names services as strings and imports none; knows the chassis, the schemas and its own folders.
"""
