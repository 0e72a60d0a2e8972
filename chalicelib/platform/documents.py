"""Where the documents are that vary by tenant or place: rules, presets, plans and samples, files under `tenants/`."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2] / "tenants"


def path(*parts: str) -> Path:
    """The path of a document, such as `path("rules", "default-triggers.toml")`.

    The folder lies beside `chalicelib/`, in the repository as in the deployed package. Raises FileNotFoundError when
    there is no such document, and ValueError for parts that would lead out of the folder.
    """
    found = _ROOT.joinpath(*parts)
    if not found.resolve().is_relative_to(_ROOT):
        raise ValueError(f"{'/'.join(parts)!r} is not under tenants/")
    if not found.exists():
        raise FileNotFoundError(f"no document tenants/{'/'.join(parts)}")
    return found
