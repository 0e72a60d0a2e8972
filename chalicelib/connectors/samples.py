"""The beginning of a file: as much of it as one API call can look at, cut where a row ends."""

from __future__ import annotations

import zlib
from base64 import b64decode
from dataclasses import dataclass, replace

from chalicelib.connectors import drop
from chalicelib.connectors.forms.model import DelimitedFormat, FixedWidthFormat, Form, NdjsonFormat
from chalicelib.platform.errors import Invalid
from chalicelib.platform.tenant import Tenant

MAX_INLINE_BYTES = 180_000
"""Of a sample in a call: what base64 makes of it still fits into a body."""
MAX_PREVIEWED_BYTES = 8 << 20
"""How much of a waiting file is read for a preview, packed or not."""
MAX_UNPACKED_BYTES = 64 << 20
"""How far a zip may unpack for a preview. Its reader takes it from the disk and not into memory."""


@dataclass(frozen=True)
class Sample:
    """The first bytes of a file; `whole` says that there are no more, `file_name` what it is called, if it is known."""

    content: bytes
    whole: bool
    file_name: str | None = None


def waiting_sample(tenant: Tenant, connector_id: str, file_name: str, at_most: int) -> Sample:
    """The first bytes of a file that waits for the connector. Raises NotFound where none of that name does."""
    content, whole = drop.read_beginning(tenant, connector_id, file_name, at_most)
    return Sample(content, whole, file_name)


def inline_sample(text: str, *, whole: bool, file_name: str | None = None) -> Sample:
    """The sample that a call carries in base64. Raises Invalid, pointing at `/sample`."""
    try:
        content = b64decode(text, validate=True)
    except ValueError:
        raise Invalid("the sample is not base64", pointer="/sample") from None
    if len(content) > MAX_INLINE_BYTES:
        raise Invalid(
            f"the sample has {len(content)} bytes; at most {MAX_INLINE_BYTES} are accepted", pointer="/sample"
        )
    return Sample(content, whole, file_name)


def unzipped(sample: Sample, at_most: int) -> Sample:
    """What is packed by gzip, as far as the sample has it and at most that many bytes. Raises Invalid for what is not
    gzip; members after the first one are not looked at."""
    gunzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = gunzip.decompress(sample.content, at_most)
    except zlib.error:
        raise Invalid("the sample is not gzip, or damaged", pointer="/sample") from None
    return replace(sample, content=content, whole=sample.whole and gunzip.eof and not gunzip.unused_data)


def cut(sample: Sample, form: Form) -> tuple[Sample, Form]:
    """The sample as far as it holds whole rows, and the form in which that can be read: where the file's end is not
    there, nothing is expected to stand at it. Raises Invalid where a part of the file says nothing."""
    if form.container == "gzip":
        sample = unzipped(sample, MAX_PREVIEWED_BYTES)
        form = form.model_copy(update={"container": "none"})
    if form.container == "zip":
        form = form.model_copy(update={"max_unpacked_bytes": min(form.max_unpacked_bytes, MAX_UNPACKED_BYTES)})
    if sample.whole:
        return sample, form
    end = None if form.container == "zip" else _end_of_rows(sample.content, form)
    if end is None:
        raise Invalid(
            f"a file of this form is read whole, and only the first {len(sample.content)} bytes of it are there",
            pointer="/file" if sample.file_name else "/sample",
        )
    return replace(sample, content=sample.content[:end]), stating_nothing(form)


def stating_nothing(form: Form) -> Form:
    """The form of a file that does not say how many rows it holds."""
    members = {"trailer", "control"} & type(form).model_fields.keys()
    return form.model_copy(update=dict.fromkeys(members))


def _end_of_rows(content: bytes, form: Form) -> int | None:
    """Where the last whole row ends; None for forms in which that cannot be told."""
    if isinstance(form, FixedWidthFormat) and form.record_length is not None and form.record_end == "none":
        return len(content) - len(content) % form.record_length
    if not isinstance(form, DelimitedFormat | FixedWidthFormat | NdjsonFormat):
        return None
    end = content.rfind(b"\n") + 1
    quote = form.quote.encode() if isinstance(form, DelimitedFormat) and form.quote else None
    # An odd number of quotes leaves one open: the line end is within a value.
    while quote is not None and end and content.count(quote, 0, end) % 2:
        end = content.rfind(b"\n", 0, end - 1) + 1
    return end
