"""What Relé raises. Each message says what was wrong and what to do about it."""

from __future__ import annotations


class ReleError(Exception):
    """The base of everything that Relé itself raises."""


class ConfigurationError(ReleError):
    """The ``RELE`` settings, or what they point to, cannot be used."""


class NoProjectError(ConfigurationError):
    """No Google Cloud project is known.

    Give it as RELE["GC_PROJECT_ID"], or in the environment as GOOGLE_CLOUD_PROJECT, or set
    RELE["GC_CREDENTIALS_PATH"] to a service account's key file, which names its project.
    Without a Google account, start `rele-cli emulator` and set PUBSUB_EMULATOR_HOST.
    """

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class NoCredentialsError(ConfigurationError):
    """No Google credentials are found.

    Give the key file of a service account as RELE["GC_CREDENTIALS_PATH"], or in the environment
    as GOOGLE_APPLICATION_CREDENTIALS, or run `gcloud auth application-default login`.
    Without a Google account, start `rele-cli emulator` and set PUBSUB_EMULATOR_HOST.
    """

    def __init__(self) -> None:
        super().__init__(" ".join((self.__doc__ or "").split()))


class ResourceError(ReleError):
    """Pub/Sub refused to read, create or change a topic or a subscription."""


class DecodeError(ReleError):
    """The payload of a message is not what Relé publishes: JSON in UTF-8."""
