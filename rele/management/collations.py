"""How databases compare texts."""

from __future__ import annotations

from typing import Any

_NO_PAD_SINCE = (8, 0, 17)
"""The version of MySQL that has a binary collation for which spaces at the end count."""


def compare_exactly(schema_editor: Any, table: str) -> None:
    """Let MySQL or MariaDB compare the texts of a table by their characters, for a migration.

    By their default collations ``a``, ``A``, ``á`` and ``"a "`` are equal. PostgreSQL and SQLite
    take them for different in any case. Columns that are added later are compared in the same way.
    """
    connection = schema_editor.connection
    if connection.vendor == "mysql":
        schema_editor.execute(
            f"ALTER TABLE {schema_editor.quote_name(table)} CONVERT TO CHARACTER SET utf8mb4 "
            f"COLLATE {_exact_collation(connection)}"
        )


def _exact_collation(connection: Any) -> str:
    if connection.mysql_is_mariadb:
        return "utf8mb4_nopad_bin"
    return "utf8mb4_0900_bin" if connection.mysql_version >= _NO_PAD_SINCE else "utf8mb4_bin"
