"""The settings of the test project, with its messages and its requests traced."""

from testproject.settings import *  # noqa: F403
from testproject.settings import MIDDLEWARE as UNTRACED
from testproject.settings import RELE as UNTRACED_RELE

MIDDLEWARE = ["tests.support.traced_gallery.traced", *UNTRACED]

RELE = {
    **UNTRACED_RELE,
    "MIDDLEWARE": ["rele.contrib.OpenTelemetryMiddleware", *UNTRACED_RELE["MIDDLEWARE"]],
}
