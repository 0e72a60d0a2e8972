"""Webhooks: events signed as Stripe signs them, posted in the background, and tried again until accepted."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from .errors import StripeError
from .shapes import Object, public
from .state import State

MAX_ATTEMPTS = 30
TIMEOUT_SECONDS = 10


def retry_delay(attempts: int) -> float | None:
    """Seconds to wait after ``attempts`` failed ones: 0.5, 1, 2, 4, 8, then 15 each time; None when to give up."""
    if attempts >= MAX_ATTEMPTS:
        return None
    return 0.5 * 2 ** (attempts - 1) if attempts <= 5 else 15.0


def signature(secret: str, timestamp: int, body: str) -> str:
    """The ``Stripe-Signature`` header for a body sent at ``timestamp``."""
    digest = hmac.new(secret.encode(), f"{timestamp}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def resend(state: State, event_id: str) -> Object:
    """Queue an event for delivery again, whatever became of it before."""
    event = state.find("event", event_id)
    if not state.deliver:
        raise StripeError("This server was started without a webhook URL.")
    return state.queue_delivery(event)


class Courier(threading.Thread):
    """Posts what is pending, in the order of the events; one that fails waits without holding up the others."""

    def __init__(self, state: State, url: str, secret: str, delay: Callable[[int], float | None] = retry_delay) -> None:
        super().__init__(name="stripe-courier", daemon=True)
        self._state = state
        self._url = urlsplit(url)
        self._secret = secret
        self._delay = delay
        self._stopped = False
        state.deliver = True

    def run(self) -> None:
        """Deliver until stopped; the state's lock is never held while posting."""
        while True:
            with self._state.changed:
                delivery = self._next_due()
                if delivery is None:
                    return
                body = json.dumps(public(self._state.find("event", delivery["event"])))
            status, error = self._post(body)
            with self._state.changed:
                self._record(delivery, status, error)
                self._state.commit()

    def stop(self) -> None:
        """End the thread; what is pending stays so in the journal."""
        with self._state.changed:
            self._stopped = True
            self._state.changed.notify_all()
        self.join(TIMEOUT_SECONDS + 1)

    def _next_due(self) -> Object | None:
        """Wait for a delivery that is due; None once stopped."""
        while not self._stopped:
            pending = [delivery for delivery in self._state.all("delivery") if delivery["state"] == "pending"]
            now = self._state.wall_clock()
            due = next((delivery for delivery in pending if delivery["next_attempt_at"] <= now), None)
            if due is not None:
                return due
            earliest = min((delivery["next_attempt_at"] for delivery in pending), default=None)
            self._state.changed.wait(None if earliest is None else earliest - now)
        return None

    def _post(self, body: str) -> tuple[int | None, str | None]:
        """One attempt: the status answered, or what prevented an answer."""
        secure = self._url.scheme == "https"
        connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = connect(self._url.hostname or "", self._url.port, timeout=TIMEOUT_SECONDS)
        target = (self._url.path or "/") + (f"?{self._url.query}" if self._url.query else "")
        # Signed with real time, not with this server's clock: receivers compare it with their own.
        signed = signature(self._secret, int(self._state.wall_clock()), body)
        try:
            headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed}
            connection.request("POST", target, body.encode(), headers)
            return connection.getresponse().status, None
        except (OSError, http.client.HTTPException) as error:
            return None, f"{type(error).__name__}: {error}"
        finally:
            connection.close()

    def _record(self, delivery: Object, status: int | None, error: str | None) -> None:
        if self._state.get("delivery", delivery["event"]) is not delivery:
            return  # it was asked to be sent again while this attempt was under way
        attempts = delivery["attempts"] + 1
        accepted = status is not None and 200 <= status < 300
        wait = None if accepted else self._delay(attempts)
        delivery.update(
            attempts=attempts,
            last_status=status,
            last_error=error,
            state="delivered" if accepted else "failed" if wait is None else "pending",
            next_attempt_at=None if wait is None else self._state.wall_clock() + wait,
        )
        self._state.put("delivery", delivery["event"], delivery)
        if accepted:
            event = self._state.find("event", delivery["event"])
            with self._state.changing(event):
                event["pending_webhooks"] = 0
