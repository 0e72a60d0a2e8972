"""``python -m infra.local.stripe``: run the local stack's Stripe until it is told to stop."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from .deliveries import Courier
from .errors import StripeError
from .forms import web_address
from .server import StripeServer
from .state import State


def main(arguments: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; the first line printed tells the address."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.stripe", description=__doc__)
    parser.add_argument("--port", type=int, default=8420, help="0 takes a free port")
    parser.add_argument("--secret-key", default="sk_test_local", help="the API key callers must send")
    parser.add_argument("--webhook-url", type=_webhook_url, help="where events are posted; without it none are")
    parser.add_argument("--webhook-secret", default="whsec_local", help="what they are signed with")
    parser.add_argument("--state", type=Path, help="a file (JSON lines) from which a restart continues")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")

    state = State(chosen.state)
    try:
        server = StripeServer(chosen.port, state, chosen.secret_key)
    except OSError as error:
        print(f"cannot listen on port {chosen.port}: {error.strerror}", file=sys.stderr)
        return 1
    courier = None
    if chosen.webhook_url:
        courier = Courier(state, chosen.webhook_url, chosen.webhook_secret)
        courier.start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"Stripe for this machine at {server.url}", flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()
    if courier:
        courier.stop()
    return 0


def _webhook_url(given: str) -> str:
    try:
        return web_address(given, "--webhook-url")
    except StripeError as error:
        raise argparse.ArgumentTypeError("expected an http or https URL") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
