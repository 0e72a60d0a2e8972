"""``python -m infra.stripe_sync``: carries ``tenants/plans.toml`` to Stripe.

Prints what differs, then makes it so; run again, it finds nothing to do, and run after it was interrupted anywhere, it
goes on from there. ``catalogue`` says what Stripe shall have, ``live`` reads what it has, ``changes`` compares the two,
``apply`` makes one change, ``command`` is the command line.

A price is never edited: an amount that changed becomes a new price that takes the lookup key over, and the old one is
archived, so that those who subscribed to it keep it. So do the subscribers of a plan that is not in the file any more.
"""

from infra.stripe_sync.command import main, sync

__all__ = ["main", "sync"]
