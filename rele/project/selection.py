"""Choosing some of a project's subscriptions by patterns of their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from rele.declaration.subscription import Subscription
from rele.exceptions import ConfigurationError
from rele.schema.problems import did_you_mean


def select(
    subs: Sequence[Subscription], only: Collection[str] = (), exclude: Collection[str] = ()
) -> list[Subscription]:
    """Those of ``subs`` that match one of ``only``, if any is given, and none of ``exclude``.

    Args:
        subs: all that the project has.
        only: patterns of names, such as ``order-*``.
        exclude: patterns as well.

    Raises:
        ConfigurationError: a pattern matches none of them, or nothing is left.
    """
    if not subs:
        return []  # whoever announces them says where they were looked for
    for option, patterns in (("--only", only), ("--exclude", exclude)):
        for pattern in patterns:
            _check(option, pattern, [sub.name for sub in subs])
    chosen = [sub for sub in subs if not only or _matches(sub, only)]
    left = [sub for sub in chosen if not _matches(sub, exclude)]
    if not left:
        raise ConfigurationError(
            f"--exclude leaves nothing to consume: it matches {_listed(chosen)}. Narrow its "
            "pattern."
        )
    return left


def _check(option: str, pattern: str, names: Sequence[str]) -> None:
    if not any(fnmatchcase(name, pattern) for name in names):
        raise ConfigurationError(
            f"{option} {pattern!r} matches no subscription of this project. "
            f"{did_you_mean(pattern, names)}"
        )


def _matches(sub: Subscription, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(sub.name, pattern) for pattern in patterns)


def _listed(subs: Sequence[Subscription]) -> str:
    return ", ".join(sub.name for sub in subs)
