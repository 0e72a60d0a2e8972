"""Connectors: a business system's files become changes of accounts, and every row is accounted for.

The pure heart reads from left to right: `formats` (bytes to checked text), `mapping` (what columns mean), `compile` and
`expressions` (the mapping as SQL), `known` and `staging` (rows, accepted or in `quarantine`), `delta` against the last
`snapshot`, and `chunks` (the changes, cut into messages). It needs files and a DuckDB, and neither network nor clock.
"""

from chalicelib.connectors.exported import EXPORTED

__all__ = ["EXPORTED"]
