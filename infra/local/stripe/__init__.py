"""The local stack's Stripe: a small stateful server answering the calls Duebridge makes, in Stripe's object shapes.

It runs as a process of its own and is spoken to only through the official ``stripe`` SDK, so that the product's code
is the same here and against Stripe itself. A parameter it does not know is refused, never ignored: what works here is
what was really covered.

Where it is simpler than Stripe: every subscription is in flexible billing mode; taxes are asked for and always nothing;
a card is accepted, declined or not there; a subscription made by the API is paid at once or refused; a refused payment
is tried again after 3, 5 and 7 days and then leaves the subscription unpaid; usage is checked and counted at once.
Where Stripe is awkward so is this: a period's invoice is a draft for an hour, a test clock is not ready when the call
that moves it returns, a repeated meter event is refused by a message without a code.

``calls`` is the table of calls; the modules beside it are what they do. ``POST /_local/...`` (``control``, ``faults``)
is for tests only: time, cards, deliveries, failures.
"""
