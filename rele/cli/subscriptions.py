"""Showing the declared subscriptions, and how Pub/Sub differs from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rele.cli.output import saying_after_a_second
from rele.cli.style import Style, terminal_width
from rele.cli.table import Cut, aligned, block, fitted
from rele.project.loading import Project
from rele.project.overview import describe, stated_fields

if TYPE_CHECKING:
    from rele.resources import Change

COLUMNS = {"topic": "Topic", "subscription": "Subscriber(s)", "function": "Sub"}

_CUTS = {heading: Cut("left", 16) for heading in COLUMNS.values()}
"""From the left, since names of one project begin alike."""

NOT_IN_THE_WAY = ("rele.W002", "rele.W009")
"""Problems with which no worker starts, but subscriptions can be shown: credentials and rooms."""

COMPARING = "Comparing the declarations with Pub/Sub ..."
AS_DECLARED = "Pub/Sub has everything as it is declared."


@dataclass(frozen=True)
class Display:
    """Shows the subscriptions of one project; each method returns the command's exit status."""

    project: Project
    style: Style
    is_json: bool
    show: Callable[[str], None]
    """Prints a line of the result."""
    note: Callable[[str], object]
    """Prints a line that is no part of the result."""
    width: int | None = None
    """Of the terminal, in characters; ``None`` where the output is no terminal's."""

    def overview(self, *, in_blocks: bool) -> int:
        """Show what is declared, sorted by topic; in blocks with every option that is stated."""
        config = self.project.require_config(ignoring=NOT_IN_THE_WAY)
        rows = [describe(each, config) for each in self.project.subscriptions]
        rows.sort(key=lambda row: row["topic"])
        if self.is_json:
            self.show(json.dumps(rows, indent=2))
        elif in_blocks:
            self._show_blocks(rows)
        else:
            self._show_table([[row[key] for key in COLUMNS] for row in rows])
        return 0

    def differences(self) -> int:
        """Show the changes that Pub/Sub needs; 1 if there are any."""
        from rele.project.comparison import compare  # here, since it loads Google's client

        config = self.project.require_config(ignoring=NOT_IN_THE_WAY)
        with saying_after_a_second(COMPARING):
            comparison = compare(config, list(self.project.subscriptions))
        plan = comparison.plan
        if self.is_json:
            changes = [change.as_json() for change in plan.changes]
            content = {"changes": changes, "orphans": list(comparison.orphans)}
            self.show(json.dumps(content, indent=2))
        else:
            for change in plan.changes:
                self._show_change(change)
            if not plan.changes and not plan.refusals:
                self.show(AS_DECLARED)
            for path in comparison.orphans:
                self.show(f"orphan {path}: no sub declares it; Relé deletes nothing.")
        for warning in (*plan.warnings, *filter(None, [comparison.complaint])):
            self.note(warning)
        plan.raise_refusals()
        return 1 if plan.changes else 0

    def application(self) -> int:
        """Make the changes that Pub/Sub needs, and show them; 1 if one of them is impossible."""
        from rele.project.comparison import bring_about  # here, since it loads Google's client

        config = self.project.require_config(ignoring=NOT_IN_THE_WAY)
        reported: list[Change] = []

        def report(change: Change) -> None:
            reported.append(change)
            if not self.is_json:
                self._show_change(change, "" if change.carry_out is None else "Done: ")

        with saying_after_a_second(COMPARING):
            obstacles = bring_about(config, list(self.project.subscriptions), report).obstacles
        if self.is_json:
            done = [change.as_json() for change in reported if change not in obstacles]
            left = [each.as_json() for each in obstacles]
            self.show(json.dumps({"done": done, "left": left}, indent=2))
        elif not reported:
            self.show(AS_DECLARED)
        return 1 if obstacles else 0

    def _show_table(self, cells: list[list[str]]) -> None:
        whole = [list(COLUMNS.values()), *cells]
        shown = fitted(whole, self.width, _CUTS)
        for line in aligned(shown, style=self.style):
            self.show(line)
        if shown != whole:
            self.note("Names are cut to fit the terminal: --verbose shows them whole.")

    def _show_blocks(self, rows: list[dict[str, Any]]) -> None:
        width = terminal_width()
        for number, row in enumerate(rows):
            if number:
                self.show("")
            for line in block(row["subscription"], stated_fields(row), width, self.style):
                self.show(line)
        if not rows:
            self.show("There are no subscriptions.")

    def _show_change(self, change: Change, prefix: str = "") -> None:
        """Show a change in a line, and what remains to do; an obstacle is set off as a warning."""
        line = f"{prefix}{change.summary}"
        self.show(self.style.warning(line) if change.carry_out is None else line)
        if change.advice:
            self.show(f"    {change.advice}")
