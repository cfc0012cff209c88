"""Reading a file with Google credentials, of any type that Google's libraries know."""

from __future__ import annotations

import warnings
from typing import Any

import google.auth
from google.auth.exceptions import DefaultCredentialsError


def read_credentials_file(path: str) -> tuple[Any, str | None]:
    """The credentials in a file, and the project that it names, if it names one.

    The credentials get their scopes from the client that uses them. Nothing is connected to.

    Raises:
        ValueError: the file cannot be read, or has no credentials; it says why.
    """
    try:
        with warnings.catch_warnings():
            # google-auth warns of files from others; the project's settings name its own file.
            warnings.simplefilter("ignore", DeprecationWarning)
            # Without scopes, because it would ask Google for the project of an external account.
            load: Any = google.auth.load_credentials_from_file
            credentials, project = load(path)
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    except DefaultCredentialsError as error:
        raise ValueError(_reason(error)) from error
    except Exception as error:
        # google-auth reads the fields as they are: a missing or wrong one raises any error.
        raise ValueError(
            f"it is not a JSON object with the fields of credentials ({type(error).__name__}: "
            f"{error})"
        ) from error
    return credentials, project


def _reason(error: DefaultCredentialsError) -> str:
    """What Google says of the file, with the cause, where there is one."""
    said = str(error.args[0] if error.args else error).removesuffix(".")
    cause = error.__cause__ or error.__context__
    return f"{said}: {str(cause).removesuffix('.')}" if cause is not None else said
