"""A small OpenID Connect issuer for this machine: the second provider that people can sign in with.

It does what an institution's own provider does: discovery, a key set that rotates, the authorization code flow with
PKCE (S256), and access tokens of RFC 9068 that say by `amr` how somebody signed in. Its people are made by a POST to
`/_local/people`. It is made with joserfc, so that tokens are verified by other code than made them.

    python -m infra.local.issuer --port 8430
"""
