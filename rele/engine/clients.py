"""Making Google's clients."""

from __future__ import annotations

from typing import Any

from google.auth.exceptions import DefaultCredentialsError

from rele.exceptions import NoCredentialsError


def make_client(client_class: Any, **arguments: Any) -> Any:
    """Make a client of Google's; without ``credentials`` it looks for its default ones.

    Raises:
        NoCredentialsError: it finds none.
    """
    try:
        return client_class(**arguments)
    except DefaultCredentialsError as error:
        raise NoCredentialsError from error
