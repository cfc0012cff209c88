"""What middlewares run in the process that supervises those of ``--processes``."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rele.config import Config


@contextmanager
def beside_processes(config: Config) -> Iterator[None]:
    """Within the block, run what :meth:`.BaseMiddleware.beside_processes` returns for ``config``.

    Raises:
        ImportError, AttributeError: a path in ``config.middleware`` leads nowhere.
    """
    with ExitStack() as stack:
        for path in config.middleware:
            beside = getattr(pkgutil.resolve_name(path), "beside_processes", None)
            if beside is not None and (context := beside(config)) is not None:
                stack.enter_context(context)
        yield
