"""Loading a project: its settings, what is wrong with it, and what it declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rele.config import Config
from rele.declaration.subscription import Subscription
from rele.exceptions import ConfigurationError
from rele.project.inspection import can_be_configured, find_subscriptions, problems_of_settings
from rele.schema.problems import Problem

ERRORS_FOR_A_WORKER = frozenset({"rele.W002", "rele.W003", "rele.W009"})
"""Problems that are warnings elsewhere, since ``migrate`` and image builds run the checks, too.

No worker works with them.
"""


@dataclass(frozen=True)
class Project:
    """A project as it was found, which every command and check shows or runs."""

    config: Config | None
    """``None`` where the settings are too wrong to make one of."""
    subscriptions: tuple[Subscription, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Errors and warnings."""

    def with_subscriptions(self, module_paths: Iterable[str]) -> Project:
        """The same with what these modules declare; they are imported for it."""
        if self.config is None:
            return self
        found, problems = find_subscriptions(module_paths, self.config)
        return replace(self, subscriptions=tuple(found)).with_problems(problems)

    def with_problems(self, problems: Iterable[Problem]) -> Project:
        """The same with further ``problems``."""
        return replace(self, problems=(*self.problems, *problems))

    def require_config(self, *, ignoring: Collection[str] = ()) -> Config:
        """The configuration, unless the project has a problem with which no worker should start.

        Args:
            ignoring: the ids of problems that do not matter to the caller.

        Raises:
            ConfigurationError: with all such problems.
        """
        raise_for_a_worker(each for each in self.problems if each.id not in ignoring)
        assert self.config is not None, "without an error there is a configuration"
        return self.config


def load_settings(setting: Any) -> Project:
    """The project of a ``RELE`` dict, without its subscriptions."""
    problems = tuple(problems_of_settings(setting))
    return Project(Config(setting) if can_be_configured(problems) else None, problems=problems)


def load_project(setting: Any, find_modules: Callable[[], Iterable[str]]) -> Project:
    """The project of a ``RELE`` dict and of the subs modules that ``find_modules`` names."""
    project = load_settings(setting)
    return project if project.config is None else project.with_subscriptions(find_modules())


def raise_for_a_worker(problems: Iterable[Problem]) -> None:
    """Raise for those of ``problems`` with which no worker should start.

    Raises:
        ConfigurationError: with all of them.
    """
    fatal = [each for each in problems if is_error_for_a_worker(each)]
    if fatal:
        raise ConfigurationError("\n".join(map(str, fatal)))


def is_error_for_a_worker(problem: Problem) -> bool:
    """Whether no worker should start with ``problem``."""
    return problem.is_error or problem.id in ERRORS_FOR_A_WORKER
