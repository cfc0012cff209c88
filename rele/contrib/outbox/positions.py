"""The position of a message in its lane: when it was committed, kept when its row is changed.

PostgreSQL knows when a row was last changed, where ``track_commit_timestamp`` is on. So the first
change of a row writes down when it was inserted.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.models import DateTimeField, F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce


def tracks_commits(alias: str) -> bool:
    """Whether the database ``alias`` knows when each row was committed. Asks it."""
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SHOW track_commit_timestamp")
        return bool(cursor.fetchone()[0] == "on")


def kept_position(is_tracked: bool) -> dict[str, Any]:
    """What an update of messages sets besides, so that they keep their positions.

    Args:
        is_tracked: what :func:`tracks_commits` says.
    """
    if not is_tracked:
        return {}
    committed = RawSQL("pg_xact_commit_timestamp(xmin)", [], output_field=DateTimeField())
    return {"committed_at": Coalesce(F("committed_at"), committed)}
