"""Indexes that work on each kind of database."""

from __future__ import annotations

from typing import Any

from django.db import models

_CHARACTERS = 255
"""Of at most four bytes each; an index entry of MySQL and MariaDB has at most 3,072 bytes."""


class PrefixIndex(models.Index):
    """Begins with a long text; on MySQL and MariaDB, with its first characters."""

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        statement = super().create_sql(model, schema_editor, using=using, **kwargs)
        if schema_editor.connection.vendor == "mysql":
            quoted = [schema_editor.quote_name(name) for name in self.fields]
            parts: dict[str, Any] = statement.parts
            parts["columns"] = ", ".join([f"{quoted[0]}({_CHARACTERS})", *quoted[1:]])
        return statement


class ConditionIndex(models.Index):
    """Has a condition on one column. On MySQL and MariaDB, which have none, it begins with that.

    Args:
        column: of the condition.
    """

    def __init__(self, *args: Any, column: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.column = column

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "column": self.column}

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        statement = super().create_sql(model, schema_editor, using=using, **kwargs)
        if schema_editor.connection.vendor == "mysql":
            columns = [schema_editor.quote_name(name) for name in (self.column, *self.fields)]
            parts: dict[str, Any] = statement.parts
            parts["columns"] = ", ".join(columns)
        return statement


class OrderingKeyIndex(PrefixIndex):
    """What the first migration calls a :class:`PrefixIndex`."""
