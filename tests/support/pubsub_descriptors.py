"""Make the emulator's ``wire/descriptors_data.py``: ``python -m tests.support.pubsub_descriptors``.

It is made from the installed google-cloud-pubsub, whose own classes cost the start of the server
several times what the descriptors do.
"""

from __future__ import annotations

import base64
import textwrap
import zlib
from importlib.metadata import version
from pathlib import Path

from google.pubsub_v1 import types

_MODULE = Path(__file__).parents[2] / "rele" / "emulator" / "wire" / "descriptors_data.py"

_TEXT = '''"""The ``.proto`` files of ``google.pubsub.v1``, as a pool takes them.

Made by ``python -m tests.support.pubsub_descriptors``.
"""

MADE_FROM = "{made_from}"
"""The version of google-cloud-pubsub that they are from."""

FILES = (
{files}
)
"""Each a serialised ``google.protobuf.FileDescriptorProto``, packed with zlib, as base64.

What a file imports comes before it.
"""
'''


def installed_files() -> list[bytes]:
    """The serialised files of the installed package, in the order in which a pool takes them."""
    return [
        message.pb().DESCRIPTOR.file.serialized_pb
        for message in (types.Schema, types.PubsubMessage)
    ]


def main() -> None:
    _MODULE.write_text(
        _TEXT.format(
            made_from=version("google-cloud-pubsub"),
            files="\n".join(_literal(file) for file in installed_files()),
        ),
        encoding="utf-8",
    )


def _literal(file: bytes) -> str:
    packed = base64.b64encode(zlib.compress(file, 9)).decode("ascii")
    lines = "\n".join(f'        "{line}"' for line in textwrap.wrap(packed, 88))
    return f"    (\n{lines}\n    ),"


if __name__ == "__main__":
    main()
