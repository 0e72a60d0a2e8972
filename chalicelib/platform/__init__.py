"""What every domain stands on: settings, clock, ids, errors, logs, HTTP, queues, sealing of personal data, tables.

Nothing in here knows a domain; imports go from the domains to here and never back.
"""
