"""Settings of the test project, taken from the environment or from an `.env` file beside it."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import django
import environ

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
ENV_FILE = BASE_DIR / ".env"

env = environ.Env()
if ENV_FILE.exists():
    env.read_env(ENV_FILE)

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = env.str("SECRET_KEY", default="for-development-only" if DEBUG else env.NOTSET)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rele",
    "rele.contrib.outbox",
    "rele.contrib.inbox",
    "rele.contrib.admin",
    "testproject.gallery",
    "testproject.activity",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "testproject.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]


def _database(url: str) -> dict[str, Any]:
    """Return Django's settings of the database at `url`."""
    database: dict[str, Any] = env.db_url_config(url)
    if database["ENGINE"] != "django.db.backends.sqlite3":
        return database
    # The web server and the worker write to the same file: each waits for the other's lock.
    options = database.setdefault("OPTIONS", {})
    options["timeout"] = 20
    if django.VERSION >= (5, 1):
        options["transaction_mode"] = "IMMEDIATE"
        options["init_command"] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"
    return database


VAR_DIR.mkdir(exist_ok=True)
DATABASES = {
    "default": _database(
        env.str("DATABASE_URL", default=f"sqlite:///{quote(str(VAR_DIR / 'gallery.sqlite3'))}")
    )
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
MEDIA_URL = "media/"
MEDIA_ROOT = env.str("MEDIA_ROOT", default=str(VAR_DIR / "media"))

USE_TZ = True

RELE = {
    "GC_PROJECT_ID": env.str("GC_PROJECT_ID", default="rele-demo"),
    "APP_NAME": "gallery",
    "SUB_PREFIX": "gallery",
    "PUBLISHER_BACKEND": "rele.contrib.outbox.OutboxBackend",
    # The page shows each event's way, after it was sent too.
    "OUTBOX": {"KEEP_SENT": True},
    "MIDDLEWARE": [
        "rele.contrib.LoggingMiddleware",
        "rele.contrib.DjangoDBMiddleware",
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"brief": {"format": "{levelname} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "brief"}},
    "loggers": {
        "rele": {"handlers": ["console"], "level": "INFO"},
        "testproject": {"handlers": ["console"], "level": "INFO"},
    },
}
