"""What every domain stands on: settings, clock, ids, errors, logging, HTTP, sealing of personal data, tenant-bound tables.

Nothing in here knows a domain; imports go from the domains to here and never back.
"""
