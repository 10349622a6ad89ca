"""Owns the sagas: what was started, how far it is, what must be taken back, how it ended.

`saga` is what authors write with, `testing` drives what they wrote, `engine` runs it, `sagas` are
those of this release, `operate` is the face for people. Imports no service.
"""
