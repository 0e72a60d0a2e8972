"""Invitations as an institution's people get them: a seat, a sign-in, and a letter that says who invites to what."""

from __future__ import annotations

from datetime import datetime, timedelta

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.identity import cognito, membership
from chalicelib.identity.people import INVITED, User
from chalicelib.identity.permissions import Role, permissions
from chalicelib.platform.errors import Conflict, TooManyRequests, Unavailable
from chalicelib.platform.http import Caller
from chalicelib.platform.limits import take
from chalicelib.platform.mail import letter, send
from chalicelib.platform.settings import settings
from chalicelib.platform.telemetry import log_failure, logger
from chalicelib.tenancy import TenantRecord, find_tenant, terms_of

A_DAY = timedelta(days=1)

LETTERS_A_DAY = 5
"""To one person."""


def invite(tenant_id: str, *, email: str, name: str | None, role: Role, by: Caller, now: datetime) -> User:
    """Invites a person, if the tenant has a seat for them, and writes to them.

    Raises what `membership.invite` raises; TooManyRequests when the tenant invites many more in a day than it has
    seats; and Unavailable, with `user_id`, when the person is invited but could not be written to.
    """
    record = find_tenant(tenant_id)
    seats = seats_of(record)
    # Inviting and removing in turns would write to strangers in the institution's name.
    _check_rate(f"invitations#{tenant_id}", 2 * seats + 10, now)
    user = membership.invite(tenant_id, email=email, name=name, role=role, seats=seats, by=by, now=now)
    _write_to(user, record)
    return user


def invite_again(tenant_id: str, user_id: str, *, by: Caller, now: datetime) -> User:
    """Writes to an invited person anew, also with another first password where the cell's user pool gives one.

    Raises NotFound; Forbidden and Conflict like `membership.check_may_invite_again`; TooManyRequests after
    `LETTERS_A_DAY`; Unavailable when the person could not be written to.
    """
    user = membership.find_person(tenant_id, user_id)
    membership.check_may_invite_again(user, by)
    _check_rate(f"invitation#{user_id}", LETTERS_A_DAY, now)
    model = type(user)
    if not user.update_if(model.state == INVITED, [model.invited_at.set(now), model.version.add(1)]):
        raise Conflict("the person is no longer invited")
    _write_to(user, find_tenant(tenant_id), again=True)
    logger.info("invited again", extra={"tenant_id": tenant_id, "user_id": user_id, "by": by.subject})
    return user


def seats_of(record: TenantRecord) -> int:
    """How many people the tenant may have: the seats that it bought in total, or those of its plan."""
    return record.seats or terms_of(record).entitlements.seats


def _write_to(user: User, record: TenantRecord, *, again: bool = False) -> None:
    role = permissions().roles[user.role].name[record.locale]
    written = letter("invited", record.locale, organisation=record.name, role=role, url=settings().public_url)
    try:
        cognito.create_user(user.email, again=again)
        send(user.email, written.subject, written.text)
    except (BotoCoreError, ClientError) as error:
        log_failure("invitation not sent", error, tenant_id=user.tenant_id, user_id=user.pk)
        raise Unavailable(
            f"the person is invited, but could not be written to; try POST /v1/users/{user.pk}/invitation",
            user_id=user.pk,
        ) from error


def _check_rate(name: str, a_day: int, now: datetime) -> None:
    taken = take(name, a_day, A_DAY, now=now)
    if not taken.allowed:
        raise TooManyRequests(f"{a_day} invitations a day are sent here; wait", retry_after=taken.resets_in)
