"""Thumbnails, from whatever a camera, a phone or an image editor has written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import IO, Any

from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

SUFFIX = ".webp"
BOX = (640, 640)

NOT_A_PHOTO = "This is not a JPEG, PNG or WebP photo."
DAMAGED = "This photo is damaged: it could not be read."
TOO_LARGE = "This photo is too large: it has more than {} million pixels."


@dataclass(frozen=True)
class Format:
    """A kind of file that is accepted."""

    suffix: str
    megapixels: int


# A JPEG is made smaller while it is decoded, so it may have the most pixels that phones take;
# the other kinds have to fit into memory as they are.
_JPEG = Format(".jpg", megapixels=210)
FORMATS = {
    "JPEG": _JPEG,
    "MPO": _JPEG,  # what Pillow calls the JPEG of a phone that holds more than one picture
    "PNG": Format(".png", megapixels=80),
    "WEBP": Format(".webp", megapixels=80),
}

# The limits above take the place of Pillow's own, which would refuse what phones take.
Image.MAX_IMAGE_PIXELS = None

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


class UnreadablePhotoError(Exception):
    """A file of which no thumbnail can be made; the message is meant for the person it is of."""


@dataclass(frozen=True)
class Thumbnail:
    """An encoded thumbnail, and the size of the photo it was made of, the right way up."""

    content: bytes
    original_width: int
    original_height: int


def check(file: IO[Any]) -> Format:
    """Return what kind of photo a file is, as far as its first bytes tell."""
    with _open(file) as image:
        return FORMATS[str(image.format)]


def make(file: IO[Any]) -> Thumbnail:
    """Make the thumbnail of a photo: the right way up, in the colours of the web."""
    with _open(file) as image:
        width, height = image.size
        orientation = _orientation(image)
        if orientation in _SIDEWAYS:
            width, height = height, width
        small = _in_web_colours(_shrink(image))
        if orientation in _TURNS:
            small = small.transpose(_TURNS[orientation])
        content = BytesIO()
        # No profile, and no other metadata: where a photo was taken is nobody's business.
        small.save(content, "WEBP", quality=82, icc_profile=b"")
    return Thumbnail(content.getvalue(), width, height)


@contextmanager
def _open(file: IO[Any]) -> Iterator[Image.Image]:
    """Open a photo; whatever its content makes Pillow raise becomes an `UnreadablePhotoError`."""
    try:
        with Image.open(file, formats=("JPEG", "PNG", "WEBP")) as image:
            limit = FORMATS[str(image.format)].megapixels
            if image.width * image.height > limit * 1_000_000:
                raise UnreadablePhotoError(TOO_LARGE.format(limit))
            yield image
    except UnreadablePhotoError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePhotoError(NOT_A_PHOTO) from error
    except Exception as error:
        raise UnreadablePhotoError(DAMAGED) from error


def _orientation(image: Image.Image) -> int:
    """Return how the camera was held, by EXIF; a photo with broken EXIF is still a photo."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 (the parser raises nearly anything)
        return 1


def _shrink(image: Image.Image) -> Image.Image:
    """Return the photo no larger than the box, in a mode in which pixels can be averaged."""
    image.draft(None, (2 * BOX[0], 2 * BOX[1]))
    image.load()
    if image.mode.startswith("I"):
        small = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        small.info.pop("transparency", None)
    elif image.mode in ("RGB", "CMYK") and "transparency" not in image.info:
        small = image
    else:
        small = image.convert("RGBA" if image.has_transparency_data else "RGB")
    small.thumbnail(BOX, Image.Resampling.LANCZOS)
    return small


def _in_web_colours(image: Image.Image) -> Image.Image:
    """Return the image in sRGB, which is what a browser takes an image without a profile to be."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    profile = image.info.get("icc_profile")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            converted = ImageCms.profileToProfile(
                image, source, ImageCms.createProfile("sRGB"), outputMode=mode
            )
        except (ImageCms.PyCMSError, OSError):
            pass  # a profile that is broken, or of another kind of image
        else:
            return converted or image
    return image.convert(mode)
