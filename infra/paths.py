"""Where things lie in a checkout."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCAL = ROOT / ".local"
"""Everything the local stack makes; removing it loses nothing that cannot be made again."""

BUILD = LOCAL / "build"
TENANTS = ROOT / "tenants"
