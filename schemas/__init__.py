"""The messages of Baton: what may travel, on which topic, between whom.

`<owner>/*.avsc` are written by hand, in the folder of the service that answers; the types in
`<owner>/__init__.py` are generated from them and imported as `from schemas.billing import
AuthorisePayment`. `catalogue` reads and checks the contracts, `topics` says who writes and
reads what, `releases` keeps every released version and `compatibility` compares today's with
them, `fingerprint` names a schema in a record, `asyncapi` writes it all down for outsiders.
This package imports nothing else of Baton, and nothing here knows how a record is encoded.
"""
