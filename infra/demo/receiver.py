"""An institution's webhook receiver, in a process of its own: verifies each event with the public `standardwebhooks`
package, and writes what it accepted and refused to a file.

    python -m infra.demo.receiver --port 9100 --out received.jsonl   (the signing secret is read from standard input)
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TextIO

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what verifies and 400 to what does not."""

    protocol_version = "HTTP/1.1"
    webhook: Webhook
    sink: TextIO
    lock = threading.Lock()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = {"id": self.headers.get("webhook-id"), "verified": True}
        try:
            self.webhook.verify(body, dict(self.headers.items()))
            document = json.loads(body)
            message |= {"type": document["type"], "case_id": document["data"].get("case_id")}
            message["sequence"] = document["data"].get("sequence")
        except WebhookVerificationError:
            message["verified"] = False
        with self.lock:
            self.sink.write(json.dumps(message) + "\n")
            self.sink.flush()
        self.send_response(204 if message["verified"] else 400)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing; the file says all."""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo.receiver")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    Receiver.webhook = Webhook(sys.stdin.readline().strip())
    with given.out.open("a", encoding="utf-8") as sink:
        Receiver.sink = sink
        server = ThreadingHTTPServer(("127.0.0.1", given.port), Receiver)
        server.daemon_threads = True
        server.serve_forever()


if __name__ == "__main__":
    main()
