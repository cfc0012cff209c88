"""A payload, for people."""

from __future__ import annotations

import json

from django.db.models import BinaryField
from django.db.models.functions import Length, Substr

from rele.contrib.outbox.models import OutboxMessage

SHOWN_CHARACTERS = 10_000
"""How many characters of a payload are shown."""

_READ = 100_000
"""How many bytes of a payload are read. What is longer is not shown as JSON."""


def readable(message: OutboxMessage) -> str:
    """The payload as indented JSON, else as text; of a long one the beginning."""
    data, size = _beginning_of(message)
    text = as_readable_text(data) if size <= _READ else data.decode("utf-8", "replace")
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]}… ({size:,} bytes in all)"


def as_readable_text(data: bytes) -> str:
    """Indented JSON, else text. Anybody may have written it."""
    text = data.decode("utf-8", "replace")
    try:
        indented = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
    # JSON can have half a character, which no page can.
    return indented.encode("utf-8", "backslashreplace").decode()


def _beginning_of(message: OutboxMessage) -> tuple[bytes, int]:
    """The first bytes of the payload, and the number of all."""
    rows = OutboxMessage.objects.using(message._state.db).filter(pk=message.pk)
    beginning = Substr("data", 1, _READ, output_field=BinaryField())
    data, size = rows.values_list(beginning, Length("data")).get()
    return bytes(data or b""), size  # SQLite has NULL for a part of nothing
