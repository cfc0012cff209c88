"""The test project on PostgreSQL: the same work, another database."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from tests.support.project import REPOSITORY, Project, read_until

UPLOAD = """
import io
from PIL import Image
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

picture = io.BytesIO()
Image.new("RGB", (64, 48), "teal").save(picture, "JPEG")
photo = SimpleUploadedFile("teal.jpg", picture.getvalue(), "image/jpeg")
response = Client(SERVER_NAME="localhost").post("/", {"photo": photo})
assert response.status_code == 302, response.content.decode()
"""


@pytest.fixture
def gallery(project: Project, postgres_url: str, tmp_path: Path) -> Project:
    """The test project on an empty PostgreSQL database."""
    (project.folder / "settings.py").unlink()
    project.environment |= {
        "DJANGO_SETTINGS_MODULE": "testproject.settings",
        "DATABASE_URL": postgres_url,
        "GC_PROJECT_ID": project.project_id,
        "MEDIA_ROOT": str(tmp_path / "media"),
    }
    return project


def test_an_upload_is_handled(gallery: Project, postgres_url: str) -> None:
    manage = str(REPOSITORY / "manage.py")
    assert gallery.run(manage, "migrate", "--verbosity", "0") == (0, "")
    worker = gallery.start(manage, "runrele", "--relay")
    read_until(worker.stdout, "Pulling messages")

    status, output = gallery.run("-c", f"import django; django.setup()\n{UPLOAD}")
    assert status == 0, output

    read_until(worker.stdout, "Processed a message for gallery-photo-processed")
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    with psycopg.connect(postgres_url) as connection:
        statuses = connection.execute("SELECT status FROM gallery_photo").fetchall()
        activities = connection.execute("SELECT count(*) FROM activity_activity").fetchone()
    assert (statuses, activities) == ([("ready",)], (1,))
