"""The gallery's subscription: the thumbnail, whatever happens around it."""

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command

from testproject.gallery import thumbnails
from testproject.gallery.models import Photo
from testproject.gallery.subs import make_thumbnail

pytestmark = pytest.mark.django_db


@pytest.fixture
def store():
    """Return a function that stores a photo as the form does."""

    def create(content: bytes) -> Photo:
        return Photo.objects.create(title="a.jpg", original=ContentFile(content, name="a.jpg"))

    return create


def test_a_photo_gets_its_thumbnail_and_its_size(store, picture, published):
    photo = store(picture(size=(1300, 700)))

    make_thumbnail({"id": photo.pk}, published_at="1.0")

    photo.refresh_from_db()
    assert (photo.status, photo.width, photo.height) == ("ready", 1300, 700)
    assert photo.thumbnail.name.startswith("thumbnails/")
    with photo.thumbnail.open() as file:
        assert thumbnails.check(file).suffix == ".webp"


def test_a_processed_photo_is_announced_once(store, picture, published):
    photo = store(picture())

    make_thumbnail({"id": photo.pk})
    make_thumbnail({"id": photo.pk})
    photo.refresh_from_db()
    photo.save()
    photo.save(update_fields=["title"])

    data = {"id": photo.pk, "title": "a.jpg", "width": 120, "height": 80}
    assert published == [("photo-processed", data, {"outcome": "ready"})]


def test_a_new_photo_is_not_announced_as_processed(store, picture, published):
    store(picture())

    assert published == []


@pytest.mark.parametrize("content", [b"no photo", b"\xff\xd8\xff\xe0 half a photo"])
def test_a_photo_that_cannot_be_read_is_a_failure_for_people_to_see(store, published, content):
    photo = store(content)

    make_thumbnail({"id": photo.pk})

    photo.refresh_from_db()
    assert photo.status == "failed"
    assert photo.failure.startswith("This")
    assert not photo.thumbnail
    [(topic, _, attributes)] = published
    assert (topic, attributes) == ("photo-processed", {"outcome": "failed"})


def test_a_photo_whose_file_is_gone_is_a_failure(store, picture, published):
    photo = store(picture())
    photo.original.storage.delete(photo.original.name)

    make_thumbnail({"id": photo.pk})

    photo.refresh_from_db()
    assert (photo.status, photo.failure) == ("failed", "The file is gone.")


def test_a_photo_that_was_deleted_is_left_alone(published):
    make_thumbnail({"id": 12345})

    assert not Photo.objects.exists()


@pytest.mark.parametrize("gone", [True, False])
def test_what_happens_to_a_photo_while_it_is_processed_counts(
    store, picture, published, monkeypatch, gone
):
    photo = store(picture())
    make = thumbnails.make

    def overtaken(file):
        photos = Photo.objects.filter(pk=photo.pk)
        if gone:
            photos.delete()
        else:
            photos.update(status=Photo.Status.FAILED, failure="Another delivery was first.")
        return make(file)

    monkeypatch.setattr(thumbnails, "make", overtaken)

    make_thumbnail({"id": photo.pk})

    assert not Photo.objects.exclude(failure="Another delivery was first.").exists()


def test_waiting_photos_can_be_published_again(store, picture, published, capsys):
    waiting = store(picture())
    done = store(picture())
    make_thumbnail({"id": done.pk})
    published.clear()

    call_command("republish")

    assert published == [("photo-uploaded", {"id": waiting.pk}, {})]
    assert "1 " in capsys.readouterr().out
