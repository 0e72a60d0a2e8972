"""Webhook endpoints: where a tenant wants to be told, of what, and the secrets that sign for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pynamodb.expressions.update import Action

from chalicelib.feed import catalogue, egress, messages
from chalicelib.feed.events import event_put
from chalicelib.feed.messages import Resend
from chalicelib.feed.model import (
    ENDPOINT_DISABLED,
    ENDPOINTS_PK,
    REGISTER_PK,
    REGISTER_SK,
    Endpoint,
    EndpointRegister,
)
from chalicelib.feed.signing import new_secret
from chalicelib.platform.commit import Group, Put, Update, commit_one
from chalicelib.platform.errors import Conflict, Invalid, NotFound
from chalicelib.platform.ids import is_id, new_id
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import logger
from chalicelib.platform.tenant import Tenant

MAX_ENDPOINTS = 100
"""Endpoints that one tenant may have: each multiplies what an event costs."""

ROTATION = timedelta(hours=24)
"""How long the secret before the current one still signs, so that receivers can be changed without a gap."""

RESEND_DELAY = timedelta(seconds=10)
"""How long after an endpoint is enabled its kept deliveries are looked up: the index of them lags a moment behind."""

_CREATE_TRIES = 5


@dataclass(frozen=True)
class Change:
    """What to change of an endpoint; None leaves a thing as it is."""

    url: str | None = None
    description: str | None = None
    event_types: Sequence[str] | None = None
    enabled: bool | None = None


def create_endpoint(
    tenant: Tenant,
    url: str,
    *,
    description: str = "",
    event_types: Sequence[str] = ("*",),
    now: datetime,
    key: str | None = None,
    at_most: int = MAX_ENDPOINTS,
) -> tuple[Endpoint, str | None]:
    """A new endpoint and its signing secret, which is shown this once and kept sealed.

    With the same `key` (the caller's idempotency key) the same wish gets the same endpoint as it is by now, however
    often it is asked for, and the same secret until that is rotated (None from then on).

    Every event that commits after this returns reaches the endpoint if one of `event_types` matches it. Raises
    ForbiddenAddress (naming the rule) for a URL that webhooks are not sent to, Invalid for a host that cannot be
    looked up or a pattern that matches no event type, and Conflict when the tenant has `at_most` already (what its
    plan gives; never more than `MAX_ENDPOINTS`) or the key was used for another wish.
    """
    endpoint_id = new_id("ep", at=now) if key is None else tenant.vault.derived_id("ep", key)
    digest = None if key is None else _wish_digest(tenant, url, description, event_types)
    if digest is not None and (made := _made_before(tenant, endpoint_id, digest)):
        return made
    check_url(url)
    _check_patterns(event_types)
    secret = new_secret()
    model, register = tenant.bind(Endpoint), tenant.bind(EndpointRegister)
    endpoint = model(
        ENDPOINTS_PK,
        endpoint_id,
        url=url,
        description=description,
        event_types=list(event_types),
        sealed_secrets=tenant.vault.seal({"current": secret}, bound_to=endpoint_id),
        wish_digest=digest,
        created_at=now,
        updated_at=now,
    )
    limit = min(at_most, MAX_ENDPOINTS)
    for _ in range(_CREATE_TRIES):
        known = register.find(REGISTER_PK, REGISTER_SK)
        seen = 0 if known is None else known.version
        if len(list_endpoints(tenant)) >= limit:
            raise Conflict(f"there are {limit} endpoints, which is as many as this tenant may have", limit=limit)
        unchanged = register.version.does_not_exist() if seen == 0 else register.version == seen
        counted = Update(register, REGISTER_PK, REGISTER_SK, [register.version.set(seen + 1)], unchanged)
        if commit_one(tenant.store, Group(endpoint_id, [Put(endpoint, model.pk.does_not_exist()), counted])):
            logger.info("endpoint created", extra={"tenant_id": tenant.id, "endpoint_id": endpoint_id})
            return endpoint, secret
        if digest is not None and (made := _made_before(tenant, endpoint_id, digest)):
            return made
    raise Conflict("other endpoints are being created at this moment; try again")


def list_endpoints(tenant: Tenant) -> list[Endpoint]:
    """All endpoints as they are at this moment, oldest first: one consistent query."""
    found = tenant.bind(Endpoint).query(ENDPOINTS_PK, consistent_read=True)
    return sorted(found, key=lambda endpoint: (endpoint.created_at, endpoint.sk))


def find_endpoint(tenant: Tenant, endpoint_id: str) -> Endpoint:
    """One endpoint as it is now. Raises NotFound."""
    endpoint = tenant.bind(Endpoint).find(ENDPOINTS_PK, endpoint_id)
    if endpoint is None:
        raise NotFound("no such webhook endpoint")
    return endpoint


def change_endpoint(
    tenant: Tenant, endpoint_id: str, change: Change, *, now: datetime, version: int | None = None
) -> Endpoint:
    """The endpoint with the change made. Enabling it also ends a rest that failures had brought it, and sends what was
    kept while it was disabled.

    Raises as `create_endpoint` does for a URL or pattern, NotFound, Conflict when it is no longer at `version` (or was
    changed while this was made), and Unavailable, with nothing changed, when the queue does not take what enabling
    sends.
    """
    if change.url is not None:
        check_url(change.url)
    if change.event_types is not None:
        _check_patterns(change.event_types)
    endpoint = find_endpoint(tenant, endpoint_id)
    if version is not None and endpoint.version != version:
        raise Conflict(f"the endpoint is at version {endpoint.version}, not {version}", version=endpoint.version)
    actions: list[Action] = []
    if change.url is not None:
        actions += [Endpoint.url.set(change.url), Endpoint.resting_until.remove()]
    if change.description is not None:
        actions.append(Endpoint.description.set(change.description))
    if change.event_types is not None:
        actions.append(Endpoint.event_types.set(list(change.event_types)))
    if change.enabled is True:
        # Before the change, so that it is never made without this; while the endpoint is disabled this does nothing.
        messages.send_resend(Resend(tenant.id, endpoint_id), delay=RESEND_DELAY)
        actions += [Endpoint.enabled.set(True), Endpoint.disabled_reason.remove()]
        if change.url is None:
            actions.append(Endpoint.resting_until.remove())
    if change.enabled is False:
        actions += [Endpoint.enabled.set(False), Endpoint.disabled_reason.set(ENDPOINT_DISABLED)]
    return _changed(endpoint, actions, now) if actions else endpoint


def delete_endpoint(tenant: Tenant, endpoint_id: str) -> None:
    """Removes the endpoint and its secrets; what is still on its way to it is abandoned. Raises NotFound."""
    model = tenant.bind(Endpoint)
    if not model(ENDPOINTS_PK, endpoint_id).delete_if(model.pk.exists()):
        raise NotFound("no such webhook endpoint")
    logger.info("endpoint deleted", extra={"tenant_id": tenant.id, "endpoint_id": endpoint_id})


def rotate_secret(tenant: Tenant, endpoint_id: str, *, now: datetime) -> tuple[Endpoint, str]:
    """A new secret for the endpoint, shown this once; for `ROTATION` the one before it signs as well.

    A second rotation within that time ends the first secret at once: two sign, never three. Raises NotFound and
    Conflict.
    """
    endpoint = find_endpoint(tenant, endpoint_id)
    secret = new_secret()
    current = tenant.vault.open(endpoint.sealed_secrets, bound_to=endpoint_id)["current"]
    sealed = tenant.vault.seal({"current": secret, "previous": current}, bound_to=endpoint_id)
    actions = [Endpoint.sealed_secrets.set(sealed), Endpoint.previous_until.set(now + ROTATION)]
    endpoint = _changed(endpoint, actions, now)
    logger.info("endpoint secret rotated", extra={"tenant_id": tenant.id, "endpoint_id": endpoint_id})
    return endpoint, secret


def signing_secrets(tenant: Tenant, endpoint: Endpoint, *, now: datetime) -> list[str]:
    """The secrets that sign for an endpoint at that moment, the current one first."""
    secrets = tenant.vault.open(endpoint.sealed_secrets, bound_to=endpoint.sk)
    if endpoint.previous_until is None or now >= endpoint.previous_until:
        return [secrets["current"]]
    return [secrets["current"], secrets["previous"]]


def send_test(tenant: Tenant, endpoint_id: str, *, now: datetime) -> str:
    """Emits an `endpoint.test` event to that endpoint only, whatever its filter; returns the event's id.

    Raises NotFound, and Conflict for an endpoint that is disabled.
    """
    endpoint = find_endpoint(tenant, endpoint_id)
    if not endpoint.enabled:
        raise Conflict("the endpoint is disabled; enable it first", reason=endpoint.disabled_reason)
    put = event_put(tenant, "endpoint.test", {"endpoint_id": endpoint_id}, now=now, only_endpoint=endpoint_id)
    put.item.save()
    return put.item.pk


def disable(tenant: Tenant, endpoint_id: str, reason: str, *, now: datetime) -> None:
    """Stops posting to an endpoint because its receiver said so. One that was deleted meanwhile stays deleted."""
    actions = [Endpoint.enabled.set(False), Endpoint.disabled_reason.set(reason)]
    if _still_there(tenant, endpoint_id, [*actions, Endpoint.updated_at.set(now), Endpoint.version.add(1)]):
        logger.warning("endpoint disabled", extra={"tenant_id": tenant.id, "endpoint_id": endpoint_id, "why": reason})


def rest(tenant: Tenant, endpoint_id: str, *, until: datetime) -> None:
    """Posts nothing to an endpoint before `until`, because it does not answer."""
    if _still_there(tenant, endpoint_id, [Endpoint.resting_until.set(until)]):
        logger.warning("endpoint rests", extra={"tenant_id": tenant.id, "endpoint_id": endpoint_id})


def wake(tenant: Tenant, endpoint_id: str) -> None:
    """Ends a rest: somebody says that the endpoint answers again."""
    _still_there(tenant, endpoint_id, [Endpoint.resting_until.remove()])


def wants(endpoint: Endpoint, event_type: str, only_endpoint: str | None) -> bool:
    """Whether an event goes to an endpoint: by its filter, or because it is meant for that endpoint alone."""
    if only_endpoint is not None:
        return only_endpoint == endpoint.sk
    return any(catalogue.matches(str(pattern), event_type) for pattern in endpoint.event_types)


def check_url(url: str) -> None:
    """Refuses a URL that webhooks are not sent to, judged as text and by the addresses that its host has now."""
    allow_loopback = settings().loopback_endpoints
    target = egress.check_url(url, allow_loopback=allow_loopback)
    try:
        egress.resolve(target, allow_loopback=allow_loopback)
    except egress.DeliveryFailed:
        raise Invalid("the host of the URL cannot be looked up", pointer="/url") from None


def _wish_digest(tenant: Tenant, url: str, description: str, event_types: Sequence[str]) -> str:
    """What tells one wish for an endpoint from another."""
    wish = json.dumps([url, description, list(event_types)], ensure_ascii=False)
    return tenant.vault.digest("endpoint-wish", wish.encode())


def _made_before(tenant: Tenant, endpoint_id: str, digest: str) -> tuple[Endpoint, str | None] | None:
    """The endpoint that an earlier call with the same key made, if one did, and its first secret until it is rotated.

    Raises Conflict when that call asked for something else.
    """
    endpoint = tenant.bind(Endpoint).find(ENDPOINTS_PK, endpoint_id)
    if endpoint is None:
        return None
    if endpoint.wish_digest != digest:
        raise Conflict("this Idempotency-Key was used to create another endpoint")
    secrets = tenant.vault.open(endpoint.sealed_secrets, bound_to=endpoint_id)
    return endpoint, None if "previous" in secrets else secrets["current"]


def _check_patterns(patterns: Sequence[str]) -> None:
    names = [known.name for known in catalogue.types()]
    if not patterns:
        raise Invalid('event_types is empty; ["*"] asks for every event', pointer="/event_types")
    for index, pattern in enumerate(patterns):
        if not any(catalogue.matches(pattern, name) for name in names):
            nouns = sorted({name.partition(".")[0] + ".*" for name in names})
            raise Invalid(
                f"event_types: entry {index + 1} matches no event type; accepted are *, {', '.join(nouns)} "
                "and the names in /v1/event-types",
                pointer=f"/event_types/{index}",
            )


def _changed(endpoint: Endpoint, actions: Sequence[Action], now: datetime) -> Endpoint:
    """Updates the endpoint if it is still as it was read."""
    actions = [*actions, Endpoint.updated_at.set(now), Endpoint.version.add(1)]
    if not endpoint.update_if(Endpoint.version == endpoint.version, actions):
        raise Conflict("the endpoint was changed by somebody else at this moment")
    return endpoint


def _still_there(tenant: Tenant, endpoint_id: str, actions: Sequence[Action]) -> bool:
    """Updates an endpoint only if it exists: an update of a deleted one would bring a part of it back."""
    if not is_id("ep", endpoint_id):
        return False
    model = tenant.bind(Endpoint)
    return model(ENDPOINTS_PK, endpoint_id).update_if(model.pk.exists(), actions)
