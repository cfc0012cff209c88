"""Settings that the service has and this server ignores: stored, with a warning in the log."""

import logging

from rele.emulator.wire.classes import RawMessage

logger = logging.getLogger("rele.emulator")

_IGNORED_FIELDS = frozenset(
    {
        "kms_key_name",
        "message_storage_policy",
        "ingestion_data_source_settings",
        "message_transforms",
        "bigquery_config",
        "bigtable_config",
        "cloud_storage_config",
    }
)


def warn_of_ignored_settings(config: RawMessage) -> None:
    """Log the settings of a topic's or subscription's configuration that have no effect."""
    for field, _ in config.ListFields():
        if field.name in _IGNORED_FIELDS:
            logger.warning(
                "%s: %s is stored and returned, but has no effect on this server.",
                config.name,
                field.name,
            )
