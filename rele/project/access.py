"""Access to Pub/Sub for a command of a project."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from rele.config import Config
from rele.endpoint import pubsub_address
from rele.engine.google.clients import no_project
from rele.resources import advised
from rele.resources.access import Access
from rele.worker import require_connection


@contextmanager
def access_to(config: Config) -> Iterator[Access]:
    """Within the block, Pub/Sub as ``config`` describes it.

    Raises:
        NoProjectError, UnusableCredentialsError: no project is known.
        NoCredentialsError: there are none.
        NotConnectionError: Pub/Sub cannot be reached.
    """
    if config.gc_project_id is None:
        raise no_project()
    address = pubsub_address(config.client_options)
    require_connection(address)
    with closing(Access(config.connection)) as access, advised(address):
        yield access
