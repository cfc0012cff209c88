"""The layers of the package, proved from its imports: they point down, without circles."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.pure_cores import PURE

REPOSITORY = Path(__file__).parents[1]

ROWS = {
    "vocabulary": (
        "_version",
        "dead_letter_policy",
        "endpoint",
        "engine.base",
        "exceptions",
        "messages",
        "retry_policy",
        "runtime.completion",
        "runtime.in_use",
        "runtime.interruptions",
        "runtime.own_records",
        "runtime.performing",
        "runtime.publisher_in_use",
        "runtime.queues",
        "runtime.stopping",
        "runtime.main_thread",
        "runtime.waiting",
        "schema",
        "status",
    ),
    "declaration": ("declaration",),
    "messaging": (
        "backends",
        "client",
        "engine",
        "handling",
        "middleware",
        "resources",
        "sending",
        "subscription",
    ),
    "application": (
        "__init__",
        "__main__",
        "cli",
        "config",
        "consuming",
        "deadletters",
        "discover",
        "logs",
        "project",
        "publishing",
        "runtime",
        "worker",
    ),
    "django edge": ("apps", "checks", "management"),
    "rooms": ("contrib", "testing"),
    "island": ("emulator",),
}
"""Each row may import its own modules and those of the rows before it. The island is apart."""

LAYERS_0_TO_2 = ("vocabulary", "declaration", "messaging", "application")

MAY_IMPORT_THE_EMULATOR = ("cli", "management.commands", "testing")

LAYERS_OF_THE_EMULATOR = (
    ("exceptions", "wire", "delivery"),
    ("rules",),
    ("resources",),
    ("storage",),
    ("rpc", "status"),
    ("server",),
    ("embedded", "foreground"),
    ("__init__",),
)
"""Each may import what is in its own room and in the layers before it."""

EFFECTS_OF_THE_EMULATOR = {
    "asyncio": ("storage", "rpc", "server", "embedded", "foreground"),
    "concurrent": ("storage", "embedded"),
    "google": ("wire", "rpc.requests", "storage.restoring"),
    "grpc": ("rpc", "status", "server"),
    "socket": ("server",),
    "sqlite3": ("storage",),
    "threading": ("embedded",),
    "time": ("resources.registry", "status", "storage"),
}
"""Where in the emulator alone these are imported: what delivers messages is pure."""

MAY_IMPORT_GOOGLE = {
    "client": ("google",),
    "engine": ("google", "grpc"),
    "resources": ("google", "grpc"),
}

WORLD = ("asyncio", "concurrent", "google", "grpc", "queue", "sched", "socket", "threading", "time")

BLOCKED = ("django", "flask", "msgspec", "pydantic", "prometheus_client")

USED_WHERE_INSTALLED = {"messages.codec": "msgspec"}
"""What a module imports inside a function, and does without where it is not installed."""


@dataclass(frozen=True)
class Import:
    """That a module imports another, and whether it does so when it is itself imported."""

    importer: str
    imported: str
    at_import: bool


def _module_names() -> dict[str, Path]:
    """Every module of the package by its dotted path."""
    names = {}
    for path in sorted((REPOSITORY / "rele").rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = _module_names()


def _imports_of(module: str) -> Iterator[Import]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    later = {inner for node in ast.walk(tree) if _is_later(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            targets = [_target(node.module or "", alias.name) for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(module, target, at_import=node not in later)


def _is_later(node: ast.AST) -> bool:
    """Whether what is in it is not run when the module is imported."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))


def _target(package: str, name: str) -> str:
    return f"{package}.{name}" if f"{package}.{name}" in MODULES else package


def _is_in(module: str, *places: str) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def _row(module: str) -> str:
    """The row of the table that a module is in."""
    name = "__init__" if module == "rele" else module.removeprefix("rele.")
    return next((row for row, places in ROWS.items() if _is_in(name, *places)), "none")


IMPORTS = [found for module in MODULES for found in _imports_of(module)]
WITHIN = [found for found in IMPORTS if _is_in(found.imported, "rele")]


def _show(imports: list[Import]) -> list[str]:
    return [f"{found.importer} -> {found.imported}" for found in imports]


def test_every_module_is_in_the_table() -> None:
    assert [module for module in MODULES if _row(module) == "none"] == []


def test_imports_point_down() -> None:
    order = [*ROWS, "none"]
    upward = [
        found
        for found in WITHIN
        if order.index(_row(found.imported)) > order.index(_row(found.importer))
        and not _is_in(found.imported, "rele.emulator")
        and not _may_use_a_room(found)
    ]

    assert _show(upward) == []


def _may_use_a_room(found: Import) -> bool:
    """A command or what it shares with the checks may, inside the function that needs it."""
    return (
        (
            _is_in(found.importer, "rele.management.commands")
            or _is_in(found.importer, "rele.management.databases")
        )
        and _row(found.imported) == "rooms"
        and not found.at_import
    )


def test_the_emulator_is_an_island() -> None:
    places = [f"rele.{place}" for place in MAY_IMPORT_THE_EMULATOR]
    to_it = [
        found
        for found in WITHIN
        if _is_in(found.imported, "rele.emulator")
        and not _is_in(found.importer, "rele.emulator", *places)
    ]
    from_it = [
        found
        for found in WITHIN
        if _is_in(found.importer, "rele.emulator") and not _is_in(found.imported, "rele.emulator")
    ]

    assert _show(to_it) == []
    assert _show(from_it) == []


def test_imports_within_the_emulator_point_down() -> None:
    rooms = {room: level for level, rooms in enumerate(LAYERS_OF_THE_EMULATOR) for room in rooms}
    names = {name: _room_of_the_emulator(name) for name in MODULES if _row(name) == "island"}
    upward = [
        found
        for found in WITHIN
        if found.importer in names
        and (importer := names[found.importer]) != (imported := names[found.imported])
        and rooms[imported] >= rooms[importer]
    ]

    assert {*names.values()} == {*rooms}
    assert _show(upward) == []


def _room_of_the_emulator(module: str) -> str:
    return "__init__" if module == "rele.emulator" else module.split(".")[2]


def test_what_delivers_messages_in_the_emulator_is_pure() -> None:
    elsewhere = [
        found
        for found in IMPORTS
        if _is_in(found.importer, "rele.emulator")
        and (package := found.imported.split(".")[0]) in EFFECTS_OF_THE_EMULATOR
        and not _is_in(
            found.importer,
            *(f"rele.emulator.{place}" for place in EFFECTS_OF_THE_EMULATOR[package]),
        )
    ]

    assert _show(elsewhere) == []


@pytest.mark.parametrize("row", ROWS)
def test_there_are_no_circles_within_a_row(row: str) -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES if _row(module) == row}
    for found in WITHIN:
        if found.at_import and found.importer in graph and found.imported in graph:
            graph[found.importer].add(found.imported)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_there_are_no_circles_of_rooms_whenever_they_import_each_other() -> None:
    """Inside functions and for type checkers, too: a room can be understood without the others."""
    graph: dict[str, set[str]] = {_room(name): set() for name in MODULES}
    for found in WITHIN:
        if (importer := _room(found.importer)) != (imported := _room(found.imported)):
            graph[importer].add(imported)

    assert _circle(graph) == ""


def test_there_are_no_circles_of_files_whenever_they_import_each_other() -> None:
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for found in WITHIN:
        graph[found.importer].add(found.imported)

    assert _circle(graph) == ""


def _circle(graph: dict[str, set[str]]) -> str:
    """One circle in the graph; empty without any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return ""


def _room(module: str) -> str:
    """The folder or the module on the top level that a module is in."""
    return ".".join(module.split(".")[:2])


def test_what_a_process_remembers_hangs_on_an_object_and_not_on_module_globals() -> None:
    names = {
        name
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Global)
        for name in node.names
    }

    assert sorted(names) == []


def test_rooms_never_import_each_other() -> None:
    rooms = [module for module in MODULES if _row(module) == "rooms"]
    between = [
        found
        for found in WITHIN
        if found.importer in rooms
        and found.imported in rooms
        and not _is_of_the_same_room(found.importer, found.imported)
    ]

    assert _show(between) == []


def _is_of_the_same_room(importer: str, imported: str) -> bool:
    """A package is one room; ``rele.contrib`` only names those that are in it."""
    if importer == "rele.contrib":
        return True
    # The Verbose form is a LoggingMiddleware.
    if importer == "rele.contrib.verbose_logging_middleware":
        return imported == "rele.contrib.logging_middleware"
    depth = 3 if _is_in(importer, "rele.contrib") else 2
    return importer.split(".")[:depth] == imported.split(".")[:depth]


def test_google_is_imported_only_where_the_table_says() -> None:
    elsewhere = [
        found
        for found in IMPORTS
        if _is_in(found.imported, "google", "grpc")
        and _row(found.importer) not in ("rooms", "island")
        and not any(
            _is_in(found.importer, f"rele.{place}") and _is_in(found.imported, *packages)
            for place, packages in MAY_IMPORT_GOOGLE.items()
        )
    ]

    assert _show(elsewhere) == []


def test_a_room_of_contrib_is_about_one_package() -> None:
    """Beside asgiref, a part of Django."""
    packages: dict[str, set[str]] = {}
    for found in IMPORTS:
        package = found.imported.split(".")[0]
        if _is_in(found.importer, "rele.contrib") and package not in sys.stdlib_module_names:
            packages.setdefault(".".join(found.importer.split(".")[:3]), set()).add(package)

    assert [room for room, names in packages.items() if len(names - {"asgiref", "rele"}) > 1] == []


def test_what_handles_messages_knows_of_the_engines_only_their_seam() -> None:
    """And which failures pass, for what sends messages later."""
    of_engines = [
        found
        for found in WITHIN
        if _is_in(found.imported, "rele.engine")
        and _is_in(found.importer, "rele.handling", "rele.middleware", "rele.contrib")
        and found.imported not in ("rele.engine.base", "rele.engine.failures")
    ]

    assert _show(of_engines) == []


def _is_used_where_installed(found: Import) -> bool:
    library = USED_WHERE_INSTALLED.get(found.importer.removeprefix("rele."), "none")
    return _is_in(found.imported, library) and not found.at_import


def test_the_vocabulary_needs_only_the_standard_library() -> None:
    others = [
        found
        for found in IMPORTS
        if _row(found.importer) == "vocabulary"
        and found.imported.split(".")[0] not in sys.stdlib_module_names
        and not _is_in(found.imported, "rele")
        and not _is_used_where_installed(found)
    ]

    assert _show(others) == []


def test_layers_0_to_2_never_name_django_or_an_extra() -> None:
    wrong = [
        found
        for found in IMPORTS
        if _row(found.importer) in LAYERS_0_TO_2
        and found.imported.split(".")[0] in BLOCKED
        and not _is_used_where_installed(found)
    ]

    assert _show(wrong) == []


def test_what_decides_has_no_clock_no_thread_and_no_connection() -> None:
    assert all(f"rele.{module}" in MODULES for module in PURE)
    impure = [
        found
        for found in IMPORTS
        if found.importer.removeprefix("rele.") in PURE and _is_in(found.imported, *WORLD)
    ]

    assert _show(impure) == []


def test_one_module_alone_reads_where_the_emulator_is() -> None:
    """Others would know other forms of the address."""
    readers = [
        module
        for module, path in MODULES.items()
        if any(
            isinstance(node, ast.Constant) and node.value == "PUBSUB_EMULATOR_HOST"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]

    assert readers == ["rele.endpoint"]


def test_no_line_of_the_core_names_a_room_with_tables() -> None:
    """Each could be deleted without leaving a dead word above it."""
    core = (*LAYERS_0_TO_2, "django edge")
    naming = [
        f"{module}: {line.strip()}"
        for module, path in MODULES.items()
        if _row(module) in core
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search("outbox|inbox", line, re.IGNORECASE)
    ]

    assert naming == []


IMPORT_WITH_EXTRAS_BLOCKED = """
import importlib, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
failures = {{}}
for module in {modules!r}:
    try:
        importlib.import_module(module)
    except Exception as error:
        failures[module] = repr(error)
print(json.dumps(failures))
"""


def _failures_with_extras_blocked(*modules: str) -> dict[str, str]:
    """What a new process that has no Django and no extra cannot import, and why."""
    completed = subprocess.run(
        [
            sys.executable,
            "-c",
            IMPORT_WITH_EXTRAS_BLOCKED.format(blocked=BLOCKED, modules=modules),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    failures: dict[str, str] = json.loads(completed.stdout)
    return failures


def test_layers_0_to_2_can_be_imported_without_django_and_the_extras() -> None:
    modules = [module for module in MODULES if _row(module) in LAYERS_0_TO_2]

    assert _failures_with_extras_blocked(*modules) == {}


def test_what_needs_django_notices_that_it_is_blocked() -> None:
    assert importlib.util.find_spec("django") is not None
    assert "django is blocked" in _failures_with_extras_blocked("rele.apps")["rele.apps"]


def _places() -> set[str]:
    """The modules and folders of the package, as the document writes them."""
    top = REPOSITORY / "rele"
    modules = {path.name for path in top.glob("[!_]*.py")}
    return modules | {f"{path.parent.name}/" for path in top.glob("*/__init__.py")}


def _document() -> str:
    return (REPOSITORY / "docs" / "architecture.rst").read_text(encoding="utf-8")


def test_the_document_names_each_module_and_room_of_the_top_level() -> None:
    tree = _document().partition("A message is published")[0]

    assert set(re.findall(r"^``([\w.]+/?)``", tree, re.MULTILINE)) == _places()


def test_each_file_that_the_document_names_is_there() -> None:
    named = re.findall(r"``([\w/]+/[\w/]*(?:\.py)?)``", _document())
    missing = [
        name
        for name in named
        if not any(
            (REPOSITORY / place / f"{name}{ending}").exists()
            for place in ("", "rele")
            for ending in ("", ".py")
        )
    ]

    assert named
    assert missing == []


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """In lines, without the docstring."""
    docstring = ast.get_docstring(function, clean=False)
    lines = (function.end_lineno or 0) - function.lineno + 1
    return lines - (docstring.count("\n") + 1 if docstring else 0)


def test_modules_and_functions_are_short() -> None:
    """At most 400 and 40 lines; what is generated or only data is no code to read."""
    long = []
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400:
            long.append(f"{module}: {text.count(chr(10))} lines")
        long += [
            f"{module}.{node.name}: {_length(node)} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _length(node) > 40
        ]

    assert long == []
