"""`python -m infra.local.issuer`: run the local issuer until it is told to stop."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from .server import IssuerServer


def main(arguments: list[str]) -> int:
    """Serves until SIGINT or SIGTERM; the first line printed tells the address."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.issuer", description=__doc__)
    parser.add_argument("--port", type=int, default=8430, help="0 takes a free port")
    chosen = parser.parse_args(arguments)
    try:
        server = IssuerServer(chosen.port)
    except OSError as error:
        print(f"cannot listen on port {chosen.port}: {error.strerror}", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"OpenID Connect issuer for this machine at {server.url}", flush=True)
    stop.wait()
    server.shutdown()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
