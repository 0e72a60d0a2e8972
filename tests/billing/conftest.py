import pytest

from chalicelib.platform.settings import settings
from tests.billing.payments import no_stripe, payments, stripe_server  # noqa: F401 - fixtures
from tests.billing.sandbox import sandbox  # noqa: F401 - a fixture
from tests.billing.subscribers import metered, open_cases_are, subscribe  # noqa: F401 - fixtures


@pytest.fixture
def clocks(payments, monkeypatch):  # noqa: F811 - the fixture above
    """New customers get a test clock of their own."""
    monkeypatch.setenv("DUEBRIDGE_STRIPE_TEST_CLOCKS", "true")
    settings.cache_clear()
