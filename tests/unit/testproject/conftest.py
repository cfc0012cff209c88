"""Fixtures for the tests of the demo."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from testproject.gallery import events


@pytest.fixture(autouse=True)
def _media(settings, tmp_path: Path) -> None:
    """Keep the uploads of each test to itself."""
    settings.MEDIA_ROOT = str(tmp_path / "media")


@pytest.fixture
def published(monkeypatch) -> list[tuple[Any, ...]]:
    """Collect what is published, instead of sending it."""
    messages: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        events.rele, "publish", lambda topic, data, **attrs: messages.append((topic, data, attrs))
    )
    return messages


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Return a function that encodes a small picture: red, with a blue top left quarter."""

    def encode(kind: str = "JPEG", mode: str = "RGB", size=(120, 80), **options: Any) -> bytes:
        image = Image.new("RGB", size, "red")
        image.paste("blue", (0, 0, size[0] // 2, size[1] // 2))
        content = BytesIO()
        image.convert(mode).save(content, kind, **options)
        return content.getvalue()

    return encode
