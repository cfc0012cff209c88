"""What can be done to dead letters, once it is confirmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any

from rele import config as configuration
from rele.cli import stop_signals
from rele.cli.confirming import is_confirmed
from rele.cli.progress import Progress
from rele.deadletters.box import Collected, Opened
from rele.deadletters.choice import Choice
from rele.deadletters.handling import handle_here
from rele.deadletters.letter import Letter
from rele.deadletters.outcome import Outcome
from rele.deadletters.replaying import Replay, Topics, discard
from rele.declaration.subscription import Subscription
from rele.project.loading import Project
from rele.project.naming import subscription_path
from rele.project.startup import say

Act = Callable[..., Outcome]
"""Gets letters, ``is_stopped`` and ``report``."""


@dataclass(frozen=True)
class Action:
    """Something that can be done to letters."""

    question: str
    """Asks for it, with ``{}`` for the letters."""
    done: str
    """A past participle for what is done to a letter."""
    act: Act
    counted: str = ""
    """Another one for the progress, which counts what has failed, too."""


def replaying(found: Opened, letters: Sequence[Letter]) -> Action:
    """Publish them to the topics that they were published to first."""
    service = found.access.service
    topics = Topics(service.subscription, found.box.place.source)
    names = sorted({topic for letter in letters if (topic := topics.of(letter)) is not None})
    goals = [f"{topic}{_who_else(service.subscriptions_on(topic))}" for topic in names]
    where = " and ".join(goals) or "their topics"

    def act(letters: Sequence[Letter], **how: Any) -> Outcome:
        return Replay(found.box, found.access.republisher, topics, **how).run(letters)

    return Action(f"Publish {{}} to {where}", "replayed", act)


def _who_else(subscriptions: Sequence[str] | None) -> str:
    number = len(subscriptions or ())
    return f" (all of its {number} subscriptions get them)" if number > 1 else ""


def handling_here(found: Opened, project: Project) -> Action:
    """Call their handlers in this process."""
    config = project.require_config()
    configuration.use(config)
    project_id = str(config.gc_project_id)
    by_path = {subscription_path(each.name, project_id): each for each in project.subscriptions}

    def handler_of(letter: Letter) -> Subscription | None:
        return by_path.get(letter.source or found.box.place.source or "")

    def act(letters: Sequence[Letter], **how: Any) -> Outcome:
        return handle_here(found.box, letters, handler_of, config, **how)

    return Action("Handle {} in this process", "handled", act, counted="tried")


def discarding(found: Opened) -> Action:
    """Acknowledge them: they are lost."""
    return Action("Discard {} for good", "discarded", partial(discard, found.box))


def carry_out(
    found: Opened,
    collected: Collected,
    choice: Choice,
    action: Action,
    *,
    name: str,
    yes: bool,
    note: Callable[[str], None],
) -> int:
    """Ask, then do it to all letters that are meant; return the command's exit status.

    Args:
        found: has the box.
        collected: the letters that were found first.
        choice: which are meant.
        action: what to do to them.
        name: of the subscription, as it was given.
        yes: whether not to ask.
        note: gets what was done, as a sentence.

    Raises:
        ReleError: nobody can be asked.
        ResourceError: Pub/Sub refused a request, or did not answer.
    """
    number = len(collected.letters)
    more = " or more" if collected.has_more else ""
    text = f"{number:,}{more} dead letter{'' if number == 1 else 's'} of {name}"
    if not is_confirmed(action.question.format(text), yes=yes):
        say("Nothing was changed.")
        return 1
    outcome = Outcome()
    with stop_signals.noted() as stop, Progress(number, action.counted or action.done) as progress:
        for letters in _rounds(found, collected, choice, progress):
            outcome.add(
                action.act(letters, is_stopped=lambda: stop.is_requested, report=progress.add)
            )
            if stop.is_requested or outcome.error is not None:
                break
    for line in _summary(outcome, action.done):
        say(line)
    if settled := outcome.done + outcome.unconfirmed:
        note(f"{settled:,} dead letter{'' if settled == 1 else 's'} {action.done}.")
    if outcome.error is not None:
        raise outcome.error
    return 0 if outcome.is_complete else 1


def _rounds(
    found: Opened, collected: Collected, choice: Choice, progress: Progress
) -> Iterator[Sequence[Letter]]:
    """The letters that were found first, then the others, without those that come back."""
    now = datetime.now(timezone.utc)
    dead_until = max((each.dead_since for each in collected.letters), default=now)
    dead_until = max(dead_until, now)  # the server's clock may be ahead
    yield collected.letters
    while collected.has_more:
        collected = found.box.collect(choice, dead_until=dead_until)
        progress.total += len(collected.letters)
        yield collected.letters


def _summary(outcome: Outcome, done: str) -> Iterator[str]:
    yield f"{outcome.done:,} {done}."
    for reason, number in outcome.failures.most_common():
        yield f"{number:,} not {done}, and still dead letters: {reason}."
    if outcome.unconfirmed:
        yield (
            f"{outcome.unconfirmed:,} {done}, but perhaps still dead letters: their ack was not "
            f"confirmed, and they may be {done} again."
        )
    if outcome.left:
        yield f"{outcome.left:,} left as they were."
