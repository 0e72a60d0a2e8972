"""Everything that is particular to a Cognito user pool. A cell without one signs people in elsewhere: there nothing has
to be made or ended here, and second factors are the provider's own.

What a person does for themselves is done with their own access token; AWS asks no permission of ours for it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.platform.aws import client
from chalicelib.platform.errors import Conflict, DuebridgeError, Invalid, Unauthenticated, Unavailable
from chalicelib.platform.settings import settings

_NO_SUCH_USER = "UserNotFoundException"
_TOKEN_REFUSED = frozenset({"NotAuthorizedException", _NO_SUCH_USER, "PasswordResetRequiredException"})
_WRONG_CODE = frozenset({"EnableSoftwareTokenMFAException", "CodeMismatchException"})


def create_user(email: str, *, again: bool = False) -> None:
    """Lets a person sign in: the pool sends them a first password by mail.

    Nothing changes for one who is there. With `again`, such a one is sent a first password anew, unless they have
    chosen one of their own since.
    """
    made = _administer(
        "admin_create_user",
        "UsernameExistsException",
        Username=email,
        UserAttributes=[{"Name": "email", "Value": email}, {"Name": "email_verified", "Value": "true"}],
        DesiredDeliveryMediums=["EMAIL"],
    )
    if again and not made:
        _administer(
            "admin_create_user",
            "UnsupportedUserStateException",
            Username=email,
            MessageAction="RESEND",
            DesiredDeliveryMediums=["EMAIL"],
        )


def delete_user(username: str) -> None:
    """Removes a person from the pool, with password and second factor; nothing changes when there is none.

    `username` is the address that they were made with, or their subject; so it is below.
    """
    _administer("admin_delete_user", _NO_SUCH_USER, Username=username)


def has_user(username: str) -> bool:
    """Whether the pool knows a person, by the address that they were made with."""
    pool = settings().user_pool_id
    if not pool:
        return False
    try:
        client("cognito-idp").admin_get_user(UserPoolId=pool, Username=username)
    except ClientError as error:
        if error.response["Error"]["Code"] != _NO_SUCH_USER:
            raise
        return False
    return True


def sign_out_everywhere(username: str) -> None:
    """Ends the refresh tokens of a person, so that nothing but signing in makes a new session."""
    _administer("admin_user_global_sign_out", _NO_SUCH_USER, Username=username)


def verified_email(access_token: str) -> str | None:
    """The verified e-mail address of whom a pool's token belongs to; the token itself does not tell. None without one.

    Raises Unauthenticated when the pool does not accept the token (any more), and Unavailable.
    """
    answer = _on_behalf("get_user", access_token)
    attributes = {each["Name"]: each.get("Value") for each in answer["UserAttributes"]}
    return attributes.get("email") if attributes.get("email_verified") == "true" else None


@lru_cache(maxsize=1024)
def asks_for_totp(access_token: str) -> bool:
    """Whether the pool lets the person of a token in only with a code of their authenticator. A container remembers it
    for the token. Raises Unauthenticated and Unavailable as above."""
    return "SOFTWARE_TOKEN_MFA" in _on_behalf("get_user", access_token).get("UserMFASettingList", ())


def associate_totp(access_token: str) -> str:
    """A fresh secret for the person's authenticator, in base 32; it counts once `confirm_totp` has seen a code of it.

    Raises Conflict in a cell without a pool, Unauthenticated and Unavailable as above.
    """
    _need_pool()
    return _on_behalf("associate_software_token", access_token)["SecretCode"]


def confirm_totp(access_token: str, code: str) -> None:
    """From now on the person signs in with a code besides the password. Repeatable.

    Raises Invalid for a code that is not right, and what `associate_totp` raises.
    """
    _need_pool()
    answer = _on_behalf("verify_software_token", access_token, UserCode=code)
    if answer.get("Status") != "SUCCESS":
        raise _wrong_code()
    _on_behalf(
        "set_user_mfa_preference", access_token, SoftwareTokenMfaSettings={"Enabled": True, "PreferredMfa": True}
    )


def _administer(operation: str, already: str, **arguments: Any) -> bool:
    """Changes the cell's pool; False when it says `already`, which is as good as done. Without a pool, all is done."""
    pool = settings().user_pool_id
    if not pool:
        return True
    try:
        getattr(client("cognito-idp"), operation)(UserPoolId=pool, **arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != already:
            raise
        return False
    return True


def _on_behalf(operation: str, access_token: str, **arguments: Any) -> dict[str, Any]:
    """Calls the pool with a person's own token."""
    try:
        return getattr(client("cognito-idp"), operation)(AccessToken=access_token, **arguments)
    except ClientError as error:
        raise _told(error) from error
    except BotoCoreError as error:
        raise Unavailable("the user pool does not answer at the moment; try again in a minute") from error


def _told(error: ClientError) -> DuebridgeError:
    code = error.response["Error"]["Code"]
    if code in _TOKEN_REFUSED:
        return Unauthenticated("the user pool does not accept this access token; sign in again")
    if code in _WRONG_CODE:
        return _wrong_code()
    return Unavailable("the user pool did not take this at the moment; try again in a minute")


def _wrong_code() -> Invalid:
    return Invalid(
        "the code is not the one that the authenticator shows now for the secret that was answered last",
        pointer="/code",
    )


def _need_pool() -> None:
    if not settings().user_pool_id:
        raise Conflict(
            "people of this cell sign in at a provider of their own; enrol the second factor there and sign in again",
            rule="second_factor_at_the_provider",
        )
