"""Thumbnails of what people have, and of what they take for a photo."""

from io import BytesIO

import pytest
from PIL import Image, ImageCms

from testproject.gallery import thumbnails
from testproject.gallery.thumbnails import UnreadablePhotoError

RED, BLUE = (255, 0, 0), (0, 0, 255)
ORIENTATION = 0x0112


def opened(thumbnail: thumbnails.Thumbnail) -> Image.Image:
    image = Image.open(BytesIO(thumbnail.content))
    image.load()
    return image


def is_near(colour, expected, tolerance=40) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(colour, expected, strict=True))


def colour_at(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    return image.convert("RGB").getpixel((int(x * image.width), int(y * image.height)))


def corrupted(content: bytes) -> bytes:
    """Return a picture whose pixel data is cut off in the middle."""
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": 255}),
        ("PNG", "RGB", {"transparency": (1, 2, 3)}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}),
    ],
)
def test_it_keeps_the_colours_of_every_kind_of_photo(picture, kind, mode, options):
    thumbnail = thumbnails.make(BytesIO(picture(kind, mode, **options)))

    image = opened(thumbnail)
    assert (thumbnail.original_width, thumbnail.original_height) == image.size == (120, 80)
    assert is_near(colour_at(image, 0.2, 0.2), BLUE)
    assert is_near(colour_at(image, 0.8, 0.8), RED)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_it_keeps_the_greys_of_every_kind_of_photo(mode):
    image = Image.new("L", (60, 40), 255)
    image.paste(0, (0, 0, 30, 40))
    if mode == "I;16":
        image = image.convert("I").point(lambda value: value * 257)
    content = BytesIO()
    image.convert(mode).save(content, "PNG")

    small = opened(thumbnails.make(content))

    assert is_near(colour_at(small, 0.2, 0.5), (0, 0, 0))
    assert is_near(colour_at(small, 0.8, 0.5), (255, 255, 255))


def test_transparent_parts_stay_transparent():
    content = BytesIO()
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(content, "PNG")

    assert opened(thumbnails.make(content)).getpixel((20, 20))[3] == 0


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "MPO"])
def test_of_several_frames_it_shows_the_first(kind):
    content = BytesIO()
    Image.new("RGB", (40, 40), "red").save(
        content, kind, save_all=True, append_images=[Image.new("RGB", (40, 40), "blue")]
    )

    assert is_near(colour_at(opened(thumbnails.make(content)), 0.5, 0.5), RED)


@pytest.mark.parametrize(
    ("orientation", "size", "blue_corner"),
    [
        (1, (120, 80), (0.2, 0.2)),
        (2, (120, 80), (0.8, 0.2)),
        (3, (120, 80), (0.8, 0.8)),
        (4, (120, 80), (0.2, 0.8)),
        (5, (80, 120), (0.2, 0.2)),
        (6, (80, 120), (0.8, 0.2)),
        (7, (80, 120), (0.8, 0.8)),
        (8, (80, 120), (0.2, 0.8)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_it_is_the_right_way_up(picture, kind, orientation, size, blue_corner):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    thumbnail = thumbnails.make(BytesIO(picture(kind, exif=exif)))

    image = opened(thumbnail)
    assert (thumbnail.original_width, thumbnail.original_height) == image.size == size
    corners = {(x, y) for x in (0.2, 0.8) for y in (0.2, 0.8)}
    assert is_near(colour_at(image, *blue_corner), BLUE)
    assert all(is_near(colour_at(image, *corner), RED) for corner in corners - {blue_corner})


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM", b"Exif\0\0no TIFF at all"]
)
def test_a_photo_with_broken_exif_is_still_a_photo(picture, exif):
    assert thumbnails.make(BytesIO(picture(exif=exif))).original_width == 120


def test_a_large_photo_becomes_small_and_keeps_its_shape(picture):
    thumbnail = thumbnails.make(BytesIO(picture(size=(3000, 1500))))

    assert (thumbnail.original_width, thumbnail.original_height) == (3000, 1500)
    assert opened(thumbnail).size == (640, 320)


def test_a_panorama_does_not_shrink_to_nothing(picture):
    assert opened(thumbnails.make(BytesIO(picture("PNG", size=(20_000, 2))))).size == (640, 1)


@pytest.mark.parametrize("profile", ["sRGB", "LAB", None])
def test_a_colour_profile_never_stands_in_the_way(picture, profile):
    icc = (
        ImageCms.ImageCmsProfile(ImageCms.createProfile(profile)).tobytes()
        if profile
        else b"no profile"
    )

    image = opened(thumbnails.make(BytesIO(picture(icc_profile=icc))))

    assert is_near(colour_at(image, 0.2, 0.2), BLUE)


def test_nothing_but_the_picture_is_taken_over(picture):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"

    thumbnail = thumbnails.make(BytesIO(picture(exif=exif)))

    assert b"taken at home" not in thumbnail.content
    assert not {"exif", "xmp", "icc_profile"} & opened(thumbnail).info.keys()


@pytest.mark.parametrize("action", [thumbnails.check, thumbnails.make])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a photo at all",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    ],
)
def test_another_kind_of_file_is_refused(action, content):
    with pytest.raises(UnreadablePhotoError, match="not a JPEG, PNG or WebP photo"):
        action(BytesIO(content))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_damaged_photo_is_refused(picture, kind):
    content = corrupted(picture(kind, size=(300, 300), mode="RGB"))

    with pytest.raises(UnreadablePhotoError, match="damaged"):
        thumbnails.make(BytesIO(content))


@pytest.mark.parametrize("action", [thumbnails.check, thumbnails.make])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(monkeypatch, picture, action):
    bomb = BytesIO(picture("PNG", size=(1001, 1000)))
    monkeypatch.setitem(thumbnails.FORMATS, "PNG", thumbnails.Format(".png", megapixels=1))
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("It was decoded."))

    with pytest.raises(UnreadablePhotoError, match="more than 1 million pixels"):
        action(bomb)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("JPEG", ".jpg"), ("MPO", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp")]
)
def test_the_check_recognises_the_kind_by_the_content(picture, kind, suffix):
    assert thumbnails.check(BytesIO(picture(kind))).suffix == suffix
