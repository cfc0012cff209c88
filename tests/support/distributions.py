"""Packages as an installer leaves them: with metadata that declares entry points."""

from __future__ import annotations

from pathlib import Path


def write_metadata(folder: Path, name: str, **entry_points: str) -> None:
    """Let the package ``name`` in ``folder`` look installed, with entry points ``rele.rooms``."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entry_points.items()]
    (metadata / "entry_points.txt").write_text("\n".join(["[rele.rooms]", *lines, ""]))
