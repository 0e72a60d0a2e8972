from tests.billing.payments import no_stripe, payments, stripe_server  # noqa: F401 - fixtures
