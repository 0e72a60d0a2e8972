"""What can be wrong with a file or a mapping, as errors a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from chalicelib.platform.errors import Invalid


class FileRefused(Invalid):
    """The whole file is refused and nothing of it is applied.

    `code` is stable and one of: `empty_file`, `wrong_encoding`, `nul_byte`, `line_too_long`, `missing_column`,
    `duplicate_column`, `missing_header`, `missing_trailer`, `unreadable_trailer`, `trailer_count`, `trailer_total`,
    `cut_record`, `too_many_quarantined`, `shrunk`; of what a file is packed in `wrong_container`, `damaged_container`,
    `unpacks_too_far`, `nested_container`, `too_many_members`, `unsafe_member`, `ambiguous_member`, `unreadable_member`;
    of documents, workbooks and Parquet `broken_document`, `document_type`, `too_deep`, `missing_rows`, `merged_cells`,
    `ambiguous_sheet`, `too_many_columns`, `column_type`.
    `line` counts from 1, `byte` is the offset from the start of the file's content (as unpacked); both where the fault
    has a place. The sentence never quotes a row.
    """

    type: ClassVar[str] = "file-refused"
    title: ClassVar[str] = "The file is refused as a whole"

    def __init__(
        self, code: str, sentence: str, *, line: int | None = None, byte: int | None = None, **extra: Any
    ) -> None:
        place = {name: value for name, value in (("line", line), ("byte", byte)) if value is not None}
        super().__init__(sentence, code=code, **place, **extra)
        self.code = code
        self.line = line
        self.byte = byte


class MappingInvalid(Invalid):
    """A mapping document that does not say what it must; `problems` lists each with its JSON pointer and a sentence."""

    type: ClassVar[str] = "mapping-invalid"
    title: ClassVar[str] = "The mapping is not valid"

    @classmethod
    def of(cls, problems: Sequence[Mapping[str, str]]) -> Self:
        """The error that tells of one problem or more, each a `pointer` and a `problem`: the first in a sentence."""
        first = problems[0]
        sentence = f"{first['pointer'] or 'The document'}: {first['problem']}"
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        return cls(sentence + more, pointer=first["pointer"], problems=list(problems))

    def under(self, pointer: str) -> Self:
        """The same error where the document stands at `pointer` in something larger, such as a request."""
        problems: list[dict[str, str]] = self.extra.get("problems") or [
            {"pointer": self.pointer or "", "problem": self.detail}
        ]
        return type(self).of([problem | {"pointer": pointer + problem["pointer"]} for problem in problems])


class UnknownPreset(Invalid):
    """No preset of that name is shipped; the sentence lists those that are."""

    type: ClassVar[str] = "unknown-preset"
    title: ClassVar[str] = "No such preset"
