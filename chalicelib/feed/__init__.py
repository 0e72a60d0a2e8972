"""The feed: what happens in a tenant's cases goes, signed and in order, to the systems that the tenant names."""

from chalicelib.feed.events import event_put
from chalicelib.feed.exported import EXPORTED

__all__ = ["EXPORTED", "event_put"]
