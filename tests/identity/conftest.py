"""The providers that people sign in with, for every test of identity."""

from tests.identity.providers import bank, pool, pool_client

__all__ = ["bank", "pool", "pool_client"]
