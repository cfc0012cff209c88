"""The gallery's page: what it takes in, what it shows, and when it publishes."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from rele.contrib.inbox.models import InboxMessage
from rele.contrib.outbox.models import OutboxMessage, State
from testproject.activity.models import Activity
from testproject.gallery import forms
from testproject.gallery.models import Photo

pytestmark = pytest.mark.django_db


@pytest.fixture
def upload(client):
    """Return a function that posts a file by the form."""

    def post(content: bytes, name: str = "photo.jpg"):
        return client.post("/", {"photo": SimpleUploadedFile(name, content)})

    return post


def test_an_upload_is_stored_and_published(upload, picture, published):
    response = upload(picture(), "Garden.JPG")

    photo = Photo.objects.get()
    assert (response.status_code, response["Location"]) == (302, "/")
    assert (photo.title, photo.status) == ("Garden.JPG", "processing")
    assert photo.original.read() == picture()
    photo.original.close()
    assert published == [("photo-uploaded", {"id": photo.pk}, {})]


def test_an_upload_and_its_event_are_one_transaction(upload, picture, monkeypatch):
    def fail(photo):
        raise RuntimeError

    monkeypatch.setattr("testproject.gallery.views.publish_uploaded", fail)

    with pytest.raises(RuntimeError):
        upload(picture())

    assert not Photo.objects.exists()


def test_the_page_shows_the_way_of_an_event(client, upload, picture):
    upload(picture())
    event = OutboxMessage.objects.get()
    assert "waits to be sent" in client.get("/").content.decode()

    event.state, event.sent_at = State.SENT, timezone.now()
    event.save()
    InboxMessage.objects.create(subscription="gallery-photo-uploaded", event_id=event.event_id)

    page = client.get("/wall/").content.decode()
    assert "waits to be sent" not in page
    assert page.index("photo-uploaded") < page.index("written") < page.index("sent <time")
    assert "handled by gallery-photo-uploaded" in page


def test_a_refused_event_says_so(client, upload, picture):
    upload(picture())
    OutboxMessage.objects.update(last_error="NotFound: no such topic")

    page = client.get("/").content.decode()

    assert "not accepted yet" in page
    assert "no such topic" not in page


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("été à la plage (1).JPEG", "été à la plage (1).JPEG"),
        ("../../etc/passwd.png", "passwd.png"),
        ("no suffix", "no suffix"),
        ('"><script>.jpg', "&quot;&gt;&lt;script&gt;.jpg"),
        ("x" * 300 + ".jpg", "x" * 251 + ".jpg"),
    ],
)
def test_a_file_may_have_any_name_and_is_stored_under_another(
    client, upload, picture, published, name, title
):
    upload(picture("PNG"), name)

    assert f'title="{title}"' in client.get("/").content.decode()
    stored = Photo.objects.get().original.name
    assert stored.startswith("originals/")
    assert stored.endswith(".png")
    assert len(stored) == len("originals/.png") + 32


def test_the_same_photo_twice_is_two_photos(upload, picture, published):
    upload(picture())
    upload(picture())

    assert len({photo.original.name for photo in Photo.objects.all()}) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "This file is empty."),
        (b"%PDF-1.7", "letter.jpg: This is not a JPEG, PNG or WebP photo."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is not a JPEG, PNG or WebP photo."),
    ],
)
def test_what_is_no_photo_ends_as_a_message(upload, published, content, message):
    response = upload(content, "letter.jpg")

    assert response.status_code == 200
    assert message in response.content.decode()
    assert not Photo.objects.exists()


def test_what_is_visibly_damaged_ends_as_a_message(upload, picture, published):
    page = upload(picture()[:100], "half.jpg").content.decode()

    assert "half.jpg: This photo is damaged" in page
    assert not Photo.objects.exists()


def test_a_file_that_is_too_large_ends_as_a_message(upload, picture, monkeypatch):
    monkeypatch.setattr(forms, "MAX_MEGABYTES", 0)

    assert "This file is larger than 0 MB." in upload(picture()).content.decode()


def test_no_file_ends_as_a_message(client):
    assert "Choose a photo first." in client.post("/").content.decode()


def test_a_form_of_another_site_is_refused(picture):
    client = Client(enforce_csrf_checks=True)

    response = client.post("/", {"photo": SimpleUploadedFile("photo.jpg", picture())})

    assert response.status_code == 403


@pytest.mark.parametrize("address", ["/", "/wall/"])
def test_it_shows_each_photo_as_far_as_it_has_come(client, address):
    Photo.objects.create(title="new.jpg", original="originals/1.jpg")
    Photo.objects.create(
        title="done.jpg",
        original="originals/2.jpg",
        thumbnail="thumbnails/2.webp",
        width=4000,
        height=3000,
        status=Photo.Status.READY,
    )
    Photo.objects.create(
        title="bad.jpg",
        original="originals/3.jpg",
        status=Photo.Status.FAILED,
        failure="This photo is damaged.",
    )
    Activity.objects.create(photo=2, text="done.jpg joined <the> gallery")

    page = client.get(address).content.decode()

    assert page.count("Processing…") == 1
    assert '<img src="/media/thumbnails/2.webp" alt="done.jpg">' in page
    assert "4000 \N{MULTIPLICATION SIGN} 3000" in page
    assert "This photo is damaged." in page
    assert "done.jpg joined &lt;the&gt; gallery" in page
    assert page.index("bad.jpg") < page.index("new.jpg")


def test_an_empty_gallery_says_so(client):
    page = client.get("/").content.decode()

    assert "No photos yet" in page
    assert "Nothing has happened yet" in page


def test_the_wall_only_answers_to_reading(client):
    assert client.post("/wall/").status_code == 405


def test_uploads_are_not_served_outside_development(client):
    assert client.get("/media/originals/1.jpg").status_code == 404
