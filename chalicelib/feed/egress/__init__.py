"""The one way out of Duebridge to an address that a tenant chose.

Three steps, each of which hands on only what it has checked: `check_url` judges the URL as text, `resolve` looks its
host up once and judges every address, `post` connects to that very address. Nothing is looked up again in between, so
a name cannot change its meaning after it was checked. Redirects and proxies are never followed.
"""

from chalicelib.feed.egress.connections import Pool
from chalicelib.feed.egress.exchange import post
from chalicelib.feed.egress.failures import DeliveryFailed
from chalicelib.feed.egress.targets import Address, ForbiddenAddress, Target, check_url, resolve

__all__ = [
    "Address",
    "DeliveryFailed",
    "ForbiddenAddress",
    "Pool",
    "Target",
    "check_url",
    "post",
    "resolve",
]
