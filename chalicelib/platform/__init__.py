"""What every domain stands on: settings, clock, ids, errors, logs, HTTP, sealing of personal data, bound tables.

Nothing in here knows a domain; imports go from the domains to here and never back.
"""
