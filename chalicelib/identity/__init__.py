"""Who may do what: sign-up, API keys and the authorizer that every route of the API stands behind."""

from chalicelib.identity.authorizer import authorize

__all__ = ["authorize"]
