"""The command line of ``python -m infra.stripe_sync``, and what it does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import stripe

from chalicelib.billing.plans import Plan, plans
from chalicelib.billing.stripe_client import make_client
from infra.stripe_sync.apply import Applier
from infra.stripe_sync.changes import Change, differences
from infra.stripe_sync.live import UnfitMeter, read_live

if TYPE_CHECKING:
    from stripe import StripeClient


def sync(client: StripeClient, wanted: Sequence[Plan], *, dry_run: bool = False) -> list[Change]:
    """Prints the differences, then makes them so unless it is a dry run; returns them.

    Raises stripe.StripeError, having made those before the one that failed, and UnfitMeter before anything.
    """
    live = read_live(client)
    changes = differences(wanted, live)
    for change in changes:
        print(f"  {change}")
    if not changes:
        print("Stripe has everything that the plans need: nothing to do.")
    elif dry_run:
        print(f"{len(changes)} changes to make; nothing was changed.")
    else:
        applier = Applier.on(client, live)
        for change in changes:
            applier.apply(change)
        print(f"{len(changes)} changes made.")
    return changes


def main(arguments: Sequence[str]) -> int:
    """The command; 0 when Stripe has what is wanted (or would, after a dry run), 1 when it refused or did not answer.

    The API key comes from the environment (``STRIPE_API_KEY``): others could read it on the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m infra.stripe_sync", description="Carries tenants/plans.toml to Stripe."
    )
    parser.add_argument("--api-base", default="", help="another address than Stripe's own, such as the local stack's")
    parser.add_argument("--dry-run", action="store_true", help="print what differs and change nothing")
    chosen = parser.parse_args(arguments)
    key = os.environ.get("STRIPE_API_KEY", "")
    if not key:
        print("STRIPE_API_KEY is not set: it holds the secret key of the Stripe account to change", file=sys.stderr)
        return 1
    try:
        sync(make_client(key, chosen.api_base), plans(), dry_run=chosen.dry_run)
    except UnfitMeter as error:
        print(f"Nothing was changed: {error}", file=sys.stderr)
        return 1
    except stripe.StripeError as error:
        said = error.user_message or type(error).__name__
        print(f"Stripe did not take it: {said}. What is printed before it may be made; run this again", file=sys.stderr)
        return 1
    return 0
