"""The local stack: MiniStack (AWS on this machine), a Stripe stand-in and the front door, begun and ended together."""
