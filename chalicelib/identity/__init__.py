"""Who may do what: sign-up, people and their roles, API keys, and the authorizer before every route of the API."""

from chalicelib.identity.authorizer import authorize
from chalicelib.identity.exported import EXPORTED, stored_credentials
from chalicelib.identity.forgetting import forget_keys, forget_people, left_of, sign_ins_left
from chalicelib.identity.membership import add_owner
from chalicelib.identity.people import find_by_email, owners_of, people_in, seats_used
from chalicelib.identity.standing import check_standing

__all__ = [
    "EXPORTED",
    "add_owner",
    "authorize",
    "check_standing",
    "find_by_email",
    "forget_keys",
    "forget_people",
    "left_of",
    "owners_of",
    "people_in",
    "seats_used",
    "sign_ins_left",
    "stored_credentials",
]
