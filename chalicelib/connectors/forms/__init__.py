"""The forms in which business systems deliver files, and the readers that make checked text of each.

`model` has the document of each form; `containers` unpacks what a file is packed in; `reading` hands the content to the
reader of its kind. A reader returns what `formats.read_text` returns of delimited files, so that all that follows
(staging, comparison, quarantine) knows one kind of text only.
"""

from chalicelib.connectors.forms.model import Form
from chalicelib.connectors.forms.reading import read_file

__all__ = ["Form", "read_file"]
