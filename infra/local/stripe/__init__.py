"""The local stack's Stripe: a small stateful server answering the calls Duebridge makes, in Stripe's object shapes.

It runs as a process of its own and is spoken to only through the official ``stripe`` SDK, so that the product's code
is the same here and against Stripe itself. A parameter it does not know is refused, never ignored: what works here is
what was really covered.
"""
