from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import rele
from rele import config as configuration
from rele import middleware
from rele.backends import BaseBackend
from rele.backends.pubsub import PubSubBackend
from rele.config import Config, load, load_subscriptions_from_paths, setup
from rele.engine.connection import Connection
from rele.engine.publisher_options import PublisherOptions
from rele.exceptions import ConfigurationError
from rele.middleware import BaseMiddleware
from rele.retry_policy import RetryPolicy
from rele.runtime.in_use import IN_USE
from tests.support.credentials import UNUSABLE, WITHOUT_PROJECT, write_credentials
from tests.support.in_use import without_django
from tests.support.modules import forgotten, write_file

ENVIRONMENT = (
    "DEFAULT_ACK_DEADLINE",
    "GCLOUD_PROJECT",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "PUBSUB_EMULATOR_HOST",
)


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def key_file(private_key: str, tmp_path: Path) -> Path:
    """The key file of a service account of the project ``project-of-file``."""
    path = tmp_path / "key.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "project-of-file",
                "private_key_id": "1",
                "private_key": private_key,
                "client_email": "worker@project-of-file.iam.gserviceaccount.com",
                "token_uri": "https://oauth2.googleapis.com/token",
            }
        )
    )
    return path


@pytest.fixture
def user_credentials(tmp_path: Path) -> Path:
    """The Application Default Credentials of a person, which name a quota project alone."""
    path = tmp_path / "adc.json"
    path.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "client",
                "client_secret": "secret",
                "refresh_token": "token",
                "quota_project_id": "project-of-quota",
            }
        )
    )
    return path


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "localhost:8085")


@pytest.fixture
def google_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        pytest.fail("Google's default was asked for")

    monkeypatch.setattr(configuration, "get_google_defaults", fail)


@pytest.fixture
def google_finds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def find(credentials: Any, project: str | None) -> None:
        monkeypatch.setattr(configuration, "get_google_defaults", lambda: (credentials, project))

    return find


class TestDefaults:
    def test_are_those_of_the_reference(self) -> None:
        config = Config({})

        assert config.app_name is None
        assert config.sub_prefix is None
        assert config.middleware == ["rele.contrib.LoggingMiddleware"]
        assert config.ack_deadline == 60
        assert config.publisher_blocking is False
        assert config.publisher_timeout == 3.0
        assert config.threads_per_subscription == 2
        assert config.filter_by is None
        assert config.retry_policy is None
        assert config.client_options is None
        assert config.gc_storage_region is None
        assert config.gc_credentials_path is None
        assert config.encoder is json.JSONEncoder
        assert config.shutdown_timeout == 30.0

    def test_give_way_to_the_settings(self) -> None:
        policy = RetryPolicy(1, 2)

        def only_new(attrs: dict[str, Any]) -> bool:
            return "new" in attrs

        config = Config(
            {
                "APP_NAME": "shop",
                "SUB_PREFIX": "shop",
                "MIDDLEWARE": ["a.B"],
                "ACK_DEADLINE": 10,
                "PUBLISHER_BLOCKING": True,
                "PUBLISHER_TIMEOUT": 9.0,
                "THREADS_PER_SUBSCRIPTION": 7,
                "FILTER_SUBS_BY": only_new,
                "DEFAULT_RETRY_POLICY": policy,
                "CLIENT_OPTIONS": {"api_endpoint": "localhost:1"},
                "GC_STORAGE_REGION": ["europe-west1"],
                "GC_CREDENTIALS_PATH": "key.json",
                "ENCODER_PATH": "django.core.serializers.json.DjangoJSONEncoder",
                "SHUTDOWN_TIMEOUT": 5.0,
            }
        )

        assert config.app_name == "shop"
        assert config.sub_prefix == "shop"
        assert config.middleware == ["a.B"]
        assert config.ack_deadline == 10
        assert config.publisher_blocking is True
        assert config.publisher_timeout == 9.0
        assert config.threads_per_subscription == 7
        assert config.filter_by is only_new
        assert config.retry_policy is policy
        assert config.client_options == {"api_endpoint": "localhost:1"}
        assert config.gc_storage_region == ["europe-west1"]
        assert config.gc_credentials_path == "key.json"
        assert config.encoder.__name__ == "DjangoJSONEncoder"
        assert config.shutdown_timeout == 5.0

    def test_the_ack_deadline_comes_from_the_environment_where_unset(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DEFAULT_ACK_DEADLINE", "99")

        assert Config({}).ack_deadline == 99
        assert Config({"ACK_DEADLINE": 10}).ack_deadline == 10

    @pytest.mark.parametrize("seconds", [9, 601, 0, -1, "soon", [10]])
    def test_an_ack_deadline_that_pubsub_would_refuse_is_an_error(self, seconds: Any) -> None:
        with pytest.raises(ConfigurationError, match=r"RELE\['ACK_DEADLINE'\].* from 10 to 600"):
            Config({"ACK_DEADLINE": seconds})

    @pytest.mark.parametrize("seconds", ["9", "soon"])
    def test_an_ack_deadline_of_the_environment_must_be_right_too(
        self, seconds: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DEFAULT_ACK_DEADLINE", seconds)

        with pytest.raises(ConfigurationError, match="from 10 to 600") as raised:
            Config({})

        assert "DEFAULT_ACK_DEADLINE" in str(raised.value)

    def test_a_region_that_is_a_string_is_deprecated(self) -> None:
        with pytest.warns(DeprecationWarning, match=r"make it a list, \['europe-west1'\]"):
            config = Config({"GC_STORAGE_REGION": "europe-west1"})

        assert config.gc_storage_region == "europe-west1"

    @pytest.mark.parametrize("path", ["json.NoSuchEncoder", "no_such_module.Encoder", "no path"])
    def test_an_encoder_that_cannot_be_imported_is_an_error(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match=r"RELE\['ENCODER_PATH'\] = .* cannot be"):
            _ = Config({"ENCODER_PATH": path}).encoder


class TestPublisherOptions:
    def test_have_the_documented_defaults(self) -> None:
        assert Config({}).engine == "rele"
        assert Config({}).publisher_options == PublisherOptions(
            max_messages=1_000,
            max_bytes=1_000_000,
            max_wait=0.01,
            limit_messages=100_000,
            limit_bytes=104_857_600,
            retry_for=600.0,
            compression=None,
            forked=None,
        )

    def test_a_dict_changes_only_the_keys_that_it_has(self) -> None:
        config = Config(
            {
                "ENGINE": "rele",
                "PUBLISHER_BATCHING": {"max_messages": 10},
                "PUBLISHER_LIMITS": {"max_bytes": 5_000},
                "PUBLISHER_RETRY_FOR": 30,
                "PUBLISHER_FORKED": "wait",
                "PUBLISHER_COMPRESSION": 2_000,
            }
        )

        assert config.engine == "rele"
        assert config.publisher_options == PublisherOptions(
            max_messages=10, limit_bytes=5_000, retry_for=30, forked="wait", compression=2_000
        )

    @pytest.mark.parametrize(
        ("setting", "error"),
        [
            ({"ENGINE": "native"}, r"RELE\['ENGINE'\] .* 'rele' or 'google', not 'native'"),
            ({"PUBLISHER_BATCHING": 500}, r"RELE\['PUBLISHER_BATCHING'\] must be a dict"),
            (
                {"PUBLISHER_BATCHING": {"max_messages": 1_001}},
                r"RELE\['PUBLISHER_BATCHING'\]\['max_messages'\] .* from 1 to 1000",
            ),
            (
                {"PUBLISHER_LIMITS": {"max_bytes": 0}},
                r"RELE\['PUBLISHER_LIMITS'\]\['max_bytes'\] is out of range",
            ),
            ({"PUBLISHER_RETRY_FOR": 0}, r"RELE\['PUBLISHER_RETRY_FOR'\] is out of range"),
            ({"PUBLISHER_RETRY_FOR": 0.01}, r"RELE\['PUBLISHER_RETRY_FOR'\] = 0\.01 .*'max_wait'"),
            ({"PUBLISHER_FORKED": "no"}, r"RELE\['PUBLISHER_FORKED'\] is out of range"),
            ({"PUBLISHER_COMPRESSION": 0}, r"RELE\['PUBLISHER_COMPRESSION'\] is out of range"),
        ],
    )
    def test_that_cannot_be_used_are_an_error_of_setup(
        self, setting: dict[str, Any], error: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=error):
            setup({"MIDDLEWARE": [], **setting})

    def test_an_unknown_key_is_left_to_the_checks(self) -> None:
        config = Config({"PUBLISHER_BATCHING": {"max_msgs": 10}})

        assert config.publisher_options == PublisherOptions()


class Backend(BaseBackend):
    def __init__(self, config: Any) -> None:
        self.config = config

    def send(self, messages: Any) -> Any: ...


class TestPublisherBackend:
    def test_is_made_from_the_configuration(self) -> None:
        config = Config({"PUBLISHER_BACKEND": f"{__name__}.Backend"})

        backend = config.make_publisher_backend()

        assert isinstance(backend, Backend)
        assert backend.config is config

    @pytest.mark.usefixtures("emulator")
    def test_is_googles_client_by_default(self) -> None:
        assert isinstance(Config({}).make_publisher_backend(), PubSubBackend)

    def test_that_cannot_be_imported_is_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match=r"RELE\['PUBLISHER_BACKEND'\] = 'shop\.No'"):
            Config({"PUBLISHER_BACKEND": "shop.No"}).make_publisher_backend()


class TestConnection:
    @pytest.mark.usefixtures("emulator")
    def test_has_what_clients_and_what_they_make_need(self) -> None:
        policy = RetryPolicy(10, 50)
        config = Config(
            {
                "GC_PROJECT_ID": "shop",
                "CLIENT_OPTIONS": {"api_endpoint": "eu.example.com"},
                "GC_STORAGE_REGION": ["europe-west1"],
                "ACK_DEADLINE": 20,
                "DEFAULT_RETRY_POLICY": policy,
            }
        )

        assert config.connection == Connection(
            "shop", None, {"api_endpoint": "eu.example.com"}, ["europe-west1"], 20, policy
        )
        assert config.connection.address == "localhost:8085"

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(FrozenInstanceError):
            Connection("shop").gc_project_id = "other"  # type: ignore[misc]


class TestCredentials:
    @pytest.mark.usefixtures("emulator", "google_is_not_asked")
    def test_are_none_under_the_emulator(self, key_file: Path) -> None:
        assert Config({}).credentials is None
        assert Config({"GC_CREDENTIALS_PATH": str(key_file)}).credentials is None

    @pytest.mark.usefixtures("google_is_not_asked")
    def test_come_from_the_key_file(self, key_file: Path) -> None:
        credentials = Config({"GC_CREDENTIALS_PATH": str(key_file)}).credentials

        assert credentials.service_account_email.startswith("worker@project-of-file")

    def test_come_from_google_where_no_file_is_given(
        self, google_finds: Callable[..., None]
    ) -> None:
        google_finds("google's", "project")

        assert Config({"GC_PROJECT_ID": "mine"}).credentials == "google's"

    @pytest.mark.parametrize("content", [None, *UNUSABLE])
    def test_a_file_that_is_missing_or_has_none_is_an_error(
        self, tmp_path: Path, content: str | bytes | None
    ) -> None:
        path = tmp_path / "wrong.json"
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        config = Config({"GC_CREDENTIALS_PATH": str(path)})

        with pytest.raises(ConfigurationError, match=r"wrong\.json' is not a file with Google"):
            _ = config.credentials
        with pytest.raises(ConfigurationError, match=r"wrong\.json' is not a file with Google"):
            _ = config.gc_project_id

    def test_nothing_is_read_before_it_is_needed(self, tmp_path: Path) -> None:
        config = Config({"GC_CREDENTIALS_PATH": str(tmp_path / "missing"), "GC_PROJECT_ID": "mine"})

        assert config.gc_project_id == "mine"

    def test_are_the_application_default_credentials(
        self, key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key_file))

        config = Config({})

        assert config.credentials.service_account_email.startswith("worker@")
        assert config.gc_project_id == "project-of-file"


class TestProject:
    @pytest.mark.usefixtures("google_is_not_asked")
    def test_is_the_setting_first(self, key_file: Path) -> None:
        config = Config({"GC_PROJECT_ID": "mine", "GC_CREDENTIALS_PATH": str(key_file)})

        assert config.gc_project_id == "mine"

    @pytest.mark.usefixtures("google_is_not_asked")
    def test_is_the_files_own_next(self, key_file: Path) -> None:
        assert Config({"GC_CREDENTIALS_PATH": str(key_file)}).gc_project_id == "project-of-file"

    @pytest.mark.usefixtures("google_is_not_asked")
    @pytest.mark.parametrize("kind", WITHOUT_PROJECT)
    def test_is_the_environments_or_the_quota_project_where_the_file_names_none(
        self, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_credentials(tmp_path / "file.json", kind, quota_project_id="quota")
        setting = {"GC_CREDENTIALS_PATH": str(path)}

        assert Config(setting).gc_project_id == "quota"
        assert Config({"GC_PROJECT_ID": "mine", **setting}).gc_project_id == "mine"

        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-environment")
        assert Config(setting).gc_project_id == "of-environment"

    @pytest.mark.parametrize("kind", WITHOUT_PROJECT)
    def test_is_none_where_the_file_names_none_and_google_finds_none(
        self, kind: str, tmp_path: Path, google_finds: Callable[..., None]
    ) -> None:
        google_finds(None, None)
        path = write_credentials(tmp_path / "file.json", kind)

        assert Config({"GC_CREDENTIALS_PATH": str(path)}).gc_project_id is None

    def test_is_what_google_finds_last(self, google_finds: Callable[..., None]) -> None:
        google_finds(None, "project-of-google")

        assert Config({}).gc_project_id == "project-of-google"

    def test_is_the_quota_project_of_a_persons_credentials(
        self, user_credentials: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(user_credentials))

        assert Config({}).gc_project_id == "project-of-quota"

    def test_is_none_where_google_finds_none(self, google_finds: Callable[..., None]) -> None:
        google_finds(object(), None)

        assert Config({}).gc_project_id is None

    def test_is_none_without_any_credentials(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))

        config = Config({})

        assert (config.credentials, config.gc_project_id) == (None, None)

    @pytest.mark.usefixtures("emulator", "google_is_not_asked")
    def test_is_any_under_the_emulator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert Config({}).gc_project_id == "rele-local"

        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project-of-environment")
        assert Config({}).gc_project_id == "project-of-environment"
        assert Config({"GC_PROJECT_ID": "mine"}).gc_project_id == "mine"

    @pytest.mark.usefixtures("emulator", "google_is_not_asked")
    def test_under_the_emulator_the_key_file_need_not_be_there(self) -> None:
        assert Config({"GC_CREDENTIALS_PATH": "missing.json"}).gc_project_id == "rele-local"

    def test_google_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = iter([("credentials", "project")])
        monkeypatch.setattr(configuration, "get_google_defaults", lambda: next(answers))
        config = Config({})

        assert (config.credentials, config.gc_project_id) == ("credentials", "project")


class Noted(BaseMiddleware):
    setups: list[tuple[Any, dict[str, Any]]] = []  # noqa: RUF012 - shared, to be looked at

    def setup(self, config: Any, **kwargs: Any) -> None:
        self.setups.append((config, kwargs))


@pytest.fixture
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own, without Django's settings."""
    without_django(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.delitem(sys.modules, "settings", raising=False)
    return tmp_path


class TestSetup:
    def test_registers_the_middleware_and_remembers_the_configuration(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Noted.setups.clear()
        remembered: list[Config] = []
        monkeypatch.setattr(configuration, "init_global_publisher", remembered.append)

        config = setup({"MIDDLEWARE": [f"{__name__}.Noted"]}, flask_app="app")

        assert Noted.setups == [(config, {"flask_app": "app"})]
        assert remembered == [config]
        assert [type(m) for m in IN_USE.middleware or ()] == [Noted]

    def test_takes_the_settings_of_django(self, settings: Any) -> None:
        settings.RELE = {"APP_NAME": "from django", "MIDDLEWARE": []}

        assert setup().app_name == "from django"

    def test_django_settings_may_lack_the_dict(self, settings: Any) -> None:
        del settings.RELE

        assert load().middleware == middleware.default_middleware

    def test_takes_a_settings_module_in_the_folder(self, in_empty_folder: Path) -> None:
        (in_empty_folder / "settings.py").write_text('RELE = {"APP_NAME": "plain"}')

        assert rele.setup().app_name == "plain"

    def test_says_how_to_set_up_where_there_are_no_settings(self, in_empty_folder: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"Relé is not set up: call rele\.setup"):
            setup()

    def test_a_settings_module_without_the_dict_is_no_settings(self, in_empty_folder: Path) -> None:
        (in_empty_folder / "settings.py").write_text("DEBUG = True")

        with pytest.raises(ConfigurationError, match="Relé is not set up"):
            load()


class TestLoadSubscriptions:
    @pytest.fixture
    def write_subs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Callable[[str, str], str]]:
        """Write a module that can be imported until the test ends."""
        monkeypatch.syspath_prepend(tmp_path)

        def write(name: str, code: str) -> str:
            content = f"from rele import Subscription, sub\n{code}"
            write_file(tmp_path / "subs" / f"{name}.py", content)
            return f"subs.{name}"

        with forgotten(tmp_path):
            yield write

    HANDLER = "def handle(data, **attributes): return 'handled'\n"

    def test_gathers_the_instances_and_makes_the_classes(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos",
            "@sub('photos')\ndef handle(data, **attributes): ...\n"
            "class Orders(Subscription):\n"
            "    def __init__(self): super().__init__(print, 'orders')\n",
        )

        names = {subscription.name for subscription in load_subscriptions_from_paths([path])}

        assert names == {"photos", "orders"}

    def test_gives_prefix_and_filter_to_those_without(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos",
            self.HANDLER + "plain = sub('a')(handle)\n"
            "own = sub('b', prefix='own', filter_by=lambda attrs: True)(handle)\n",
        )

        plain, own = load_subscriptions_from_paths([path], "shop", lambda attrs: False)

        assert (plain.name, own.name) == ("shop-a", "own-b")
        assert (plain(1), own(1)) == (None, "handled")

    def test_prefix_and_filter_are_those_of_the_last_settings(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs("photos", self.HANDLER + "photos = sub('photos')(handle)\n")
        load_subscriptions_from_paths([path], "old", lambda attrs: False)

        [photos] = load_subscriptions_from_paths([path], "new", lambda attrs: True)

        assert (photos.name, photos(1)) == ("new-photos", "handled")

    def test_takes_one_that_is_imported_elsewhere_once(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        photos = write_subs("photos", self.HANDLER + "photos = sub('photos')(handle)\n")
        more = write_subs("more", f"from {photos} import photos\n")

        assert len(load_subscriptions_from_paths([photos, more])) == 1

    def test_takes_a_class_whose_instance_is_there_too_once(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos",
            "class Photos(Subscription):\n"
            "    def __init__(self): super().__init__(self.handle, 'photos')\n"
            "    def handle(self, data, **attributes): ...\n"
            "photos = Photos()\n",
        )

        assert [s.name for s in load_subscriptions_from_paths([path])] == ["photos"]

    def test_a_class_that_cannot_be_made_is_an_error(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos",
            "class Photos(Subscription):\n    def __init__(self): raise ValueError('no topic')\n",
        )

        with pytest.raises(RuntimeError, match=r"subs\.photos\.Photos cannot be made.*no topic"):
            load_subscriptions_from_paths([path])

    @pytest.mark.parametrize("declaration", ["", "photos = Photos()\n"], ids=["class", "instance"])
    def test_a_class_that_forgets_super_is_an_error_that_names_it(
        self, write_subs: Callable[[str, str], str], declaration: str
    ) -> None:
        path = write_subs(
            "photos",
            "class Photos(Subscription):\n"
            "    def __init__(self): self._func, self.topic = print, 'photos'\n" + declaration,
        )

        with pytest.raises(RuntimeError) as raised:
            load_subscriptions_from_paths([path], sub_prefix="shop")

        assert str(raised.value) == (
            "The subscription subs.photos.Photos cannot be made: its __init__ does not call "
            "super().__init__(func, topic). Call it there."
        )

    def test_a_class_that_names_its_types_is_found_once(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos",
            "Typed = Subscription[[dict], int]\n"
            "class Photos(Typed):\n"
            "    def __init__(self): super().__init__(self.handle, 'photos')\n"
            "    def handle(self, data, **attributes): return data['id']\n",
        )

        [photos] = load_subscriptions_from_paths([path])

        assert photos({"id": 42}, lang="en") == 42

    def test_a_class_with_an_async_method_is_an_async_handler(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos",
            "class Photos(Subscription):\n"
            "    def __init__(self): super().__init__(self.handle, 'photos')\n"
            "    async def handle(self, data, **attributes): ...\n",
        )

        [photos] = load_subscriptions_from_paths([path])

        assert photos.is_async

    def test_two_with_the_same_name_are_an_error_that_names_both(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        photos = write_subs("photos", "@sub('photos')\ndef first(data, **attributes): ...\n")
        more = write_subs("more", "@sub('photos')\ndef second(data, **attributes): ...\n")

        with pytest.raises(RuntimeError, match=r"'photos': subs\.photos\.first and subs\.more\.se"):
            load_subscriptions_from_paths([photos, more])

    def test_the_same_name_with_a_suffix_of_its_own_is_fine(
        self, write_subs: Callable[[str, str], str]
    ) -> None:
        path = write_subs(
            "photos", self.HANDLER + "a = sub('a')(handle)\nb = sub('a', suffix='b')(handle)\n"
        )

        assert [s.name for s in load_subscriptions_from_paths([path])] == ["a", "a-b"]

    def test_a_module_that_cannot_be_imported_is_an_error(self) -> None:
        with pytest.raises(ImportError, match="no_such_module"):
            load_subscriptions_from_paths(["no_such_module.subs"])


class TestSubscriptionDefaults:
    def test_are_keyword_arguments_of_sub(self) -> None:
        config = Config(
            {
                "SUBSCRIPTION_DEFAULTS": {
                    "prefix": "shop",
                    "ack_deadline": 20,
                    "threads": 4,
                    "retry_policy": RetryPolicy(1, 2),
                    "max_messages": 50,
                }
            }
        )

        assert config.sub_prefix == "shop"
        assert (config.ack_deadline, config.threads_per_subscription) == (20, 4)
        assert config.retry_policy == RetryPolicy(1, 2)
        assert config.subscription_defaults.max_messages == 50

    def test_the_older_names_are_other_names_of_the_same(self) -> None:
        config = Config({"ACK_DEADLINE": 20, "THREADS_PER_SUBSCRIPTION": 4})

        assert config.subscription_defaults.stated() == {"ack_deadline": 20, "threads": 4}

    def test_what_nobody_states_is_no_default_of_theirs(self) -> None:
        config = Config({})

        assert config.subscription_defaults.stated() == {}
        assert (config.ack_deadline, config.threads_per_subscription) == (60, 2)

    def test_one_setting_by_two_names_is_an_error(self) -> None:
        with pytest.raises(ConfigurationError, match=r"RELE\['SUB_PREFIX'\] and .* two names"):
            Config({"SUB_PREFIX": "shop", "SUBSCRIPTION_DEFAULTS": {"prefix": "bank"}})

    @pytest.mark.parametrize(
        ("setting", "place"),
        [
            ({"SUBSCRIPTION_DEFAULTS": {"threads": 0}}, "RELE['SUBSCRIPTION_DEFAULTS']['threads']"),
            ({"THREADS_PER_SUBSCRIPTION": 0}, "RELE['THREADS_PER_SUBSCRIPTION']"),
        ],
    )
    def test_a_value_out_of_range_is_an_error_that_says_where_it_stands(
        self, setting: dict[str, Any], place: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(place)):
            Config(setting)
