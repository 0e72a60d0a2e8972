"""Leaving: everything of a tenant as files to take along, and the erasure of all of it with a certificate."""

from chalicelib.leaving.exports import expire_exports

__all__ = ["expire_exports"]
