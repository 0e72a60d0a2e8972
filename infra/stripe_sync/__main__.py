"""The way in for ``python -m infra.stripe_sync``."""

import sys

from infra.stripe_sync.command import main

sys.exit(main(sys.argv[1:]))
