"""The front door: one address for people and machines that forwards to the deployed REST API, as a CDN does on AWS.

python -m infra.local.front_door --port 8000 --target http://127.0.0.1:4566/_aws/execute-api/abc123/api
"""

from __future__ import annotations

import argparse
import http.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_MAX_BODY = 10 * 1024 * 1024
"""Bytes; what API Gateway accepts."""


class FrontDoor(BaseHTTPRequestHandler):
    """Forwards each request with its raw body, and gives back the answer as it came."""

    protocol_version = "HTTP/1.1"
    target = urlsplit("")

    def forward(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > _MAX_BODY or "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.send_error(413, "A body needs a Content-Length of at most 10 MB")
            return
        body = self.rfile.read(int(length))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP | {"host"}}
        headers["X-Forwarded-For"] = self.client_address[0]
        try:
            status, answered, content = self._asked(headers, body)
        except OSError:
            self.send_error(502, "The local stack does not answer; see make up")
            return
        except (ValueError, http.client.InvalidURL):
            self.send_error(400, "The address or a header holds characters that must be percent-encoded")
            return
        self.send_response_only(status)
        for name, value in answered:
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _asked(self, headers: dict[str, str], body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=60)
        try:
            connection.request(self.command, f"{self.target.path}{self.path}", body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = forward

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - as the base class has it
        """One line per request, without its query."""
        print(self.command, self.path.partition("?")[0], code, flush=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.front_door")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", required=True, help="the REST API's address, without a slash at the end")
    given = parser.parse_args()
    FrontDoor.target = urlsplit(given.target)
    server = ThreadingHTTPServer(("127.0.0.1", given.port), FrontDoor)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
