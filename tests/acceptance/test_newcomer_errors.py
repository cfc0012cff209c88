"""What a newcomer gets wrong, each from an empty folder: one message, and the whole of it.

A message says what was tried, what is wrong and what to do. The exit status is 1, and no
traceback is shown unless ``--traceback`` asks for it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.project import REPOSITORY

NOBODY_THERE = "127.0.0.1:1"
"""A port that no server is given by chance."""

OF_THE_ENVIRONMENT = re.compile("PUBSUB_|GOOGLE_|GCLOUD_|CLOUDSDK_|DJANGO_|DEFAULT_ACK_|_proxy$")

SUBS = """
    from rele import sub

    @sub(topic="order-paid")
    def ship(data, **attributes):
        print(data)
"""
WITH_PROJECT = 'RELE = {"GC_PROJECT_ID": "my-shop"}'

CONFIGURED = "Configuring worker with 1 subscription(s)...\n  order-paid - ship\n"
IN_GOOGLE_CLOUD = "Using the Pub/Sub project my-shop at pubsub.googleapis.com:443.\n"
HERE = "Using the Pub/Sub project my-shop at 127.0.0.1:PORT.\n"
NO_PROJECT = (
    'No Google Cloud project is known. Give it as RELE["GC_PROJECT_ID"], or in the environment as '
    'GOOGLE_CLOUD_PROJECT, or set RELE["GC_CREDENTIALS_PATH"] to a service account\'s key file, '
    "which names its project. Without a Google account, start `rele-cli emulator` and set "
    "PUBSUB_EMULATOR_HOST.\n"
)
NO_CREDENTIALS = (
    "No Google credentials are found. Give the key file of a service account as "
    'RELE["GC_CREDENTIALS_PATH"], or in the environment as GOOGLE_APPLICATION_CREDENTIALS, or run '
    "`gcloud auth application-default login`. Without a Google account, start `rele-cli emulator` "
    "and set PUBSUB_EMULATOR_HOST.\n"
)
NO_SUCH_FILE = (
    "The file that GOOGLE_APPLICATION_CREDENTIALS names in the environment cannot be used: File "
    "key.json was not found. Write the path of the key file of a service account there, or unset "
    "it. Without a Google account, start `rele-cli emulator` and set PUBSUB_EMULATOR_HOST.\n"
)
NO_KEY_FILE = (
    "RELE['GC_CREDENTIALS_PATH'] = 'key.json' is not a file with Google credentials: File key.json "
    "was not found. Write the path of a service account's key, of the configuration of workload "
    "identity federation or impersonation, or of a user's credentials, or leave the setting out to "
    "use Application Default Credentials.\n"
)
WRONG_SIGNATURE = (
    "subs.ship must take one positional argument, the data, and **kwargs, the attributes: declare "
    "it as `def ship(data, **kwargs)`, not with ()"
)
WRONG_FILTER = "filter_by must be a callable or an iterable of callables, not 3"
NOT_SET_UP = (
    "Relé is not set up: call rele.setup({...}), or add `rele` to INSTALLED_APPS, or start in a "
    "folder with a settings.py that has a dict named RELE."
)
DENIED_TO_READ = (
    "Pub/Sub refused to read subscription projects/my-shop/subscriptions/order-paid: Not for you. "
    "The credentials need the permission pubsub.subscriptions.get, which roles/pubsub.editor has.\n"
)
DENIED_TO_PUBLISH = (
    "The message for the topic 'order-paid' was not published: the credentials lack the permission "
    "pubsub.topics.publish for the topic 'order-paid' in project my-shop (Pub/Sub says: Not for "
    "you). Grant roles/pubsub.publisher on the topic.\n"
)
NO_TOPIC = (
    "The message for the topic 'no-such-topic' was not published: the topic 'no-such-topic' "
    "does not exist in project my-shop. Run the worker that subscribes to it, or create it.\n"
)
TOO_LARGE = (
    "The message for the topic 'order-paid' was not published: MessageTooLargeError: The message "
    "has 10,000,002 bytes of data, and 10,000,NNN bytes with its attributes and its topic: Pub/Sub "
    "takes 10,000,000. Store the data elsewhere and publish where it is.\n"
)
NO_JSON = (
    "DATA must be JSON, not 'hello': Expecting value: line 1 column 1 (char 0). A string needs its "
    "quotes: '\"hello\"'.\n"
)
PORT_TAKEN = (
    "The Pub/Sub emulator cannot listen on 127.0.0.1:PORT: another program is using that port. "
    "Stop it, or choose another port; port 0 takes any free one.\n"
)
NO_PORT = "--host-port is 'localhost:99999': a port is a number from 0 to 65535."
NO_MIDDLEWARE = (
    "RELE['MIDDLEWARE'] names 'shop.middleware.Audit', which cannot be imported: "
    "ModuleNotFoundError: No module named 'shop.middleware'. Write the dotted path of a middleware "
    "class, such as 'rele.contrib.LoggingMiddleware'.\n"
)


def slow(command: str) -> Any:
    """A command that is like another one of the same test."""
    return pytest.param(command, marks=pytest.mark.slow)


class Newcomer:
    """A folder, empty at first, and the commands that are typed there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not OF_THE_ENVIRONMENT.search(name)
        }
        self.environment |= {
            "HOME": str(folder),
            "NO_GCE_CHECK": "true",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default,ignore:You are using a:FutureWarning",
        }

    def write(self, name: str, code: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code).lstrip(), encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def output_of(self, process: subprocess.Popen[str], given: str = "") -> str:
        """Everything it prints, without what differs each time; it must end with status 1."""
        output, _ = process.communicate(given, timeout=60)
        assert process.returncode == 1, output
        output = output.replace(str(self.folder), "FOLDER")
        return re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", output)

    def rele_cli(self, *arguments: str, given: str = "") -> str:
        """What ``rele-cli`` prints before it fails."""
        return self.output_of(self.start("-m", "rele", *arguments), given)

    def manage(self, *arguments: str, given: str = "") -> str:
        """What ``manage.py`` prints before it fails."""
        return self.output_of(self.start("manage.py", *arguments), given)

    def uninstall(self, package: str) -> None:
        """Let no process that is started from now on find the package."""
        self.write(
            "uninstalled/sitecustomize.py",
            f"""
            import sys

            class Uninstalled:
                def find_spec(self, name, path=None, target=None):
                    if name.split(".")[0] == {package!r}:
                        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

            sys.meta_path.insert(0, Uninstalled())
            """,
        )
        self.environment["PYTHONPATH"] = os.pathsep.join(
            [str(self.folder / "uninstalled"), self.environment["PYTHONPATH"]]
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


@pytest.fixture
def plain(newcomer: Newcomer) -> Newcomer:
    """A newcomer who has written a project without Django, with nothing wrong in it."""
    newcomer.write("settings.py", WITH_PROJECT)
    newcomer.write("subs.py", SUBS)
    return newcomer


@pytest.fixture(scope="module")
def started_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``django-admin startproject`` and ``startapp`` make."""
    folder = tmp_path_factory.mktemp("started")
    for arguments in (["startproject", "shop", "."], ["startapp", "orders"]):
        subprocess.run([sys.executable, "-m", "django", *arguments], cwd=folder, check=True)
    return folder


@pytest.fixture
def django(newcomer: Newcomer, started_project: Path) -> Newcomer:
    """A newcomer who has written a Django project, with nothing wrong in it."""
    shutil.copytree(started_project, newcomer.folder, dirs_exist_ok=True)
    install(newcomer, {"GC_PROJECT_ID": "my-shop"})
    newcomer.write("orders/subs.py", SUBS)
    return newcomer


def install(newcomer: Newcomer, rele: object) -> None:
    """Add both apps and ``RELE`` to the settings, after what is there."""
    settings = newcomer.folder / "shop" / "settings.py"
    if isinstance(rele, dict):
        rele = {"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"], **rele}
    with settings.open("a", encoding="utf-8") as file:
        file.write("INSTALLED_APPS = [*dict.fromkeys([*INSTALLED_APPS, 'rele', 'orders'])]\n")
        file.write(f"RELE = {rele!r}\n")


class DenyEverything(grpc.GenericRpcHandler):
    """Answers each call as Pub/Sub does where the credentials lack the permission."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def deny(request: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "Not for you.")

        return grpc.unary_unary_rpc_method_handler(deny)


@pytest.fixture(scope="module")
def denying_server() -> Iterator[str]:
    """The address of a server that permits nothing."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([DenyEverything()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture(scope="module")
def unreachable(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Newcomer, subprocess.Popen[str]]]]:
    """Processes that try a wrong emulator address while the other tests run."""
    processes = {}
    for arguments in ("run", "publish order-paid 1"):
        newcomer = Newcomer(tmp_path_factory.mktemp("unreachable"))
        newcomer.write("settings.py", 'RELE = {"PUBLISHER_TIMEOUT": 1.5}')
        newcomer.write("subs.py", SUBS)
        newcomer.environment["PUBSUB_EMULATOR_HOST"] = NOBODY_THERE
        processes[arguments] = (newcomer, newcomer.start("-m", "rele", *arguments.split()))
    yield processes
    for _, process in processes.values():
        process.kill()
        process.communicate()


pytestmark = pytest.mark.usefixtures("unreachable")


class TestReleCliRun:
    def test_in_an_empty_folder(self, newcomer: Newcomer) -> None:
        assert newcomer.rele_cli("run") == (
            "Error: There is no settings.py in FOLDER: make one with a dict named RELE, or name "
            "the settings module with --settings.\n"
        )

    def test_in_a_django_project(self, django: Newcomer) -> None:
        assert django.rele_cli("run") == (
            "Error: This is a Django project, whose settings rele-cli does not read: use `python "
            "manage.py runrele`, or name the settings module with --settings.\n"
        )

    def test_settings_without_rele(self, plain: Newcomer) -> None:
        plain.write("settings.py", "DEBUG = True")

        assert plain.rele_cli("run") == (
            "Error: The settings module 'settings' has no dict named RELE: write "
            "RELE = {'GC_PROJECT_ID': 'my-project'}.\n"
        )

    def test_a_settings_module_that_is_not_there(self, plain: Newcomer) -> None:
        assert plain.rele_cli("run", "--settings", "conf.production") == (
            "Error: The settings module 'conf.production' cannot be imported: "
            "ModuleNotFoundError: No module named 'conf'. Fix it, or name another with "
            "--settings.\n"
        )

    def test_a_settings_module_with_an_error(self, plain: Newcomer) -> None:
        plain.write("settings.py", "DEBUG = True\nRELE = {")

        assert plain.rele_cli("run") == (
            "Error: The settings module 'settings' cannot be imported: SyntaxError: '{' was never "
            "closed (FOLDER/settings.py, line 2). Fix it, or name another with --settings.\n"
        )

    def test_no_subs(self, newcomer: Newcomer) -> None:
        newcomer.write("settings.py", WITH_PROJECT)

        assert newcomer.rele_cli("run") == (
            "Error: There is no subscription to consume. Relé looked for subs.py and subs/ below "
            'FOLDER; declare one there with @sub(topic="…").\n'
        )

    def test_no_project(self, plain: Newcomer) -> None:
        plain.write("settings.py", "RELE = {}")

        assert plain.rele_cli("run") == f"{CONFIGURED}Error: {NO_PROJECT}"

    def test_no_credentials(self, plain: Newcomer) -> None:
        assert plain.rele_cli("run") == f"{CONFIGURED}{IN_GOOGLE_CLOUD}Error: {NO_CREDENTIALS}"

    def test_a_key_file_of_the_environment_that_is_not_there(self, plain: Newcomer) -> None:
        plain.environment["GOOGLE_APPLICATION_CREDENTIALS"] = "key.json"

        assert plain.rele_cli("run") == f"{CONFIGURED}{IN_GOOGLE_CLOUD}Error: {NO_SUCH_FILE}"

    def test_a_key_file_of_the_environment_that_is_not_there_and_no_project(
        self, plain: Newcomer
    ) -> None:
        plain.write("settings.py", "RELE = {}")
        plain.environment["GOOGLE_APPLICATION_CREDENTIALS"] = "key.json"

        assert plain.rele_cli("run") == f"{CONFIGURED}Error: {NO_SUCH_FILE}"
        assert plain.rele_cli("publish", "order-paid", "1") == f"Error: {NO_SUCH_FILE}"

    def test_a_key_file_that_is_not_there(self, plain: Newcomer) -> None:
        plain.write("settings.py", 'RELE = {"GC_CREDENTIALS_PATH": "key.json"}')

        assert plain.rele_cli("run") == f"Error: {NO_KEY_FILE}"

    def test_an_emulator_address_that_is_none(self, plain: Newcomer) -> None:
        plain.environment["PUBSUB_EMULATOR_HOST"] = "localhost:eight"

        assert plain.rele_cli("run") == (
            f"{CONFIGURED}Error: PUBSUB_EMULATOR_HOST needs HOST:PORT, such as 127.0.0.1:PORT, not "
            "'localhost:eight'.\n"
        )

    def test_a_server_without_permission(self, plain: Newcomer, denying_server: str) -> None:
        plain.environment["PUBSUB_EMULATOR_HOST"] = denying_server

        assert plain.rele_cli("run") == f"{CONFIGURED}{HERE}Error: {DENIED_TO_READ}"

    @pytest.mark.parametrize(
        ("code", "failure"),
        [
            (
                "from rele import sub\nimport shop",
                "ModuleNotFoundError: No module named 'shop' (FOLDER/subs.py, line 2)",
            ),
            ("def ship(", "SyntaxError: '(' was never closed (FOLDER/subs.py, line 1)"),
            (
                f"{SUBS}\n    1 / 0",
                "ZeroDivisionError: division by zero (FOLDER/subs.py, line 7)",
            ),
            (
                "from rele import sub\ndef ship(): ...\nship = sub('order-paid')(ship)",
                f"RuntimeError: {WRONG_SIGNATURE} (FOLDER/subs.py, line 3)",
            ),
            (
                "from rele import sub\n@sub('order-paid', filter_by=3)\ndef ship(data, **kw): ...",
                f"ValueError: {WRONG_FILTER} (FOLDER/subs.py, line 2)",
            ),
        ],
        ids=[
            "a missing module",
            "a typing error",
            "an exception",
            "a wrong signature",
            "a wrong filter",
        ],
    )
    def test_a_subs_module_with_an_error(self, plain: Newcomer, code: str, failure: str) -> None:
        plain.write("subs.py", code)

        assert plain.rele_cli("run") == (
            f"Error: The subs module 'subs' cannot be imported: {failure}. Fix it: until then its "
            "subscriptions are not consumed.\n"
        )

    def test_a_third_party_module_that_is_not_there(self, plain: Newcomer) -> None:
        assert plain.rele_cli("run", "--third-party-subscriptions", "vendor.subs") == (
            "Error: --third-party-subscriptions names 'vendor.subs', which cannot be imported: "
            "ModuleNotFoundError: No module named 'vendor'. Correct the name, or install the "
            "package that has it.\n"
        )

    def test_django_is_missing(self, plain: Newcomer) -> None:
        plain.write("settings.py", 'RELE = {"MIDDLEWARE": ["rele.contrib.DjangoDBMiddleware"]}')
        plain.uninstall("django")

        assert plain.rele_cli("run") == (
            "Error: RELE['MIDDLEWARE'] names 'rele.contrib.DjangoDBMiddleware', which cannot be "
            "imported: ModuleNotFoundError: No module named 'django'. Install it with "
            "`pip install 'rele[django]'`.\n"
        )

    def test_an_extra_is_missing(self, plain: Newcomer) -> None:
        plain.write("settings.py", 'RELE = {"MIDDLEWARE": ["web.AppMiddleware"]}')
        plain.write("web.py", "import flask\nfrom rele.contrib import FlaskMiddleware\n")
        plain.uninstall("flask")

        assert plain.rele_cli("run") == (
            "Error: RELE['MIDDLEWARE'] names 'web.AppMiddleware', which cannot be imported: "
            "ModuleNotFoundError: No module named 'flask'. Install it with "
            "`pip install 'rele[flask]'`.\n"
        )


class TestReleCliPublish:
    def test_no_project_in_an_empty_folder(self, newcomer: Newcomer) -> None:
        assert newcomer.rele_cli("publish", "order-paid", "1") == f"Error: {NO_PROJECT}"

    def test_no_credentials(self, plain: Newcomer) -> None:
        assert plain.rele_cli("publish", "order-paid", "1") == (
            f"{IN_GOOGLE_CLOUD}Error: {NO_CREDENTIALS}"
        )

    def test_a_key_file_that_is_not_there(self, plain: Newcomer) -> None:
        plain.write("settings.py", 'RELE = {"GC_CREDENTIALS_PATH": "key.json"}')

        assert plain.rele_cli("publish", "order-paid", "1") == f"Error: {NO_KEY_FILE}"

    def test_settings_with_an_error(self, plain: Newcomer) -> None:
        plain.write("settings.py", "RELE = {**SHARED}")

        assert plain.rele_cli("publish", "order-paid", "1") == (
            "Error: The settings module 'settings' cannot be imported: NameError: name 'SHARED' is "
            "not defined (FOLDER/settings.py, line 1). Fix it.\n"
        )

    def test_a_middleware_that_is_not_there(self, plain: Newcomer) -> None:
        plain.write("settings.py", 'RELE = {"MIDDLEWARE": ["shop.middleware.Audit"]}')
        plain.write("shop/__init__.py", "")

        assert plain.rele_cli("publish", "order-paid", "1") == f"Error: {NO_MIDDLEWARE}"

    def test_a_server_without_permission(self, plain: Newcomer, denying_server: str) -> None:
        plain.environment["PUBSUB_EMULATOR_HOST"] = denying_server

        assert plain.rele_cli("publish", "order-paid", "1") == f"{HERE}Error: {DENIED_TO_PUBLISH}"

    def test_a_topic_that_does_not_exist(self, plain: Newcomer, embedded_server: str) -> None:
        plain.environment["PUBSUB_EMULATOR_HOST"] = embedded_server

        assert plain.rele_cli("publish", "no-such-topic", "1") == f"{HERE}Error: {NO_TOPIC}"

    def test_a_message_too_large(self, plain: Newcomer, embedded_server: str) -> None:
        plain.environment["PUBSUB_EMULATOR_HOST"] = embedded_server
        data = f'"{"x" * 10_000_000}"'

        output = plain.rele_cli("publish", "order-paid", "-", given=data)

        # How long published_at is differs each time.
        assert re.sub("10,000,1[0-9]{2}", "10,000,NNN", output) == f"{HERE}Error: {TOO_LARGE}"

    def test_in_a_django_project(self, django: Newcomer, embedded_server: str) -> None:
        django.environment["PUBSUB_EMULATOR_HOST"] = embedded_server

        assert django.rele_cli("publish", "order-paid", "1") == (
            "Error: This is a Django project, whose settings rele-cli does not read: the message "
            "would go to another Pub/Sub project. Use `python manage.py rele publish`.\n"
        )

    def test_data_that_is_no_json(self, newcomer: Newcomer) -> None:
        assert newcomer.rele_cli("publish", "order-paid", "hello") == f"Error: {NO_JSON}"

    def test_an_attribute_without_a_value(self, newcomer: Newcomer) -> None:
        assert newcomer.rele_cli("publish", "order-paid", "1", "country") == (
            "Error: An attribute must be KEY=VALUE, such as country=ES, not 'country'.\n"
        )


class TestReleCliEmulator:
    def test_the_port_is_taken(self, newcomer: Newcomer, denying_server: str) -> None:
        output = newcomer.rele_cli("emulator", "--host-port", denying_server)

        assert output == f"Error: {PORT_TAKEN}"

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("8085", "--host-port needs HOST:PORT, such as 127.0.0.1:PORT, not '8085'."),
            ("localhost:99999", NO_PORT),
        ],
    )
    def test_an_address_that_is_none(self, newcomer: Newcomer, address: str, message: str) -> None:
        output = newcomer.rele_cli("emulator", "--host-port", address)

        assert output == f"Error: {message}\n"


class TestTraceback:
    @pytest.mark.parametrize(
        "arguments",
        ["--traceback publish order-paid 1", "publish --traceback order-paid 1"],
    )
    def test_rele_cli_shows_it_where_it_is_asked_to(
        self, newcomer: Newcomer, arguments: str
    ) -> None:
        output = newcomer.rele_cli(*arguments.split())

        assert output.startswith("Traceback (most recent call last):\n")
        assert output.endswith(f"rele.exceptions.NoProjectError: {NO_PROJECT}")

    @pytest.mark.parametrize(
        "arguments", ["runrele --traceback", "rele publish --traceback order-paid 1"]
    )
    def test_manage_py_shows_it_where_it_is_asked_to(
        self, django: Newcomer, arguments: str
    ) -> None:
        output = django.manage(*arguments.split())

        assert "Traceback (most recent call last):\n" in output
        assert output.endswith(f"CommandError: {NO_CREDENTIALS}")


class TestManagePy:
    def test_no_project(self, django: Newcomer) -> None:
        install(django, {})

        assert django.manage("runrele") == f"{CONFIGURED}CommandError: {NO_PROJECT}"
        assert django.manage("rele", "publish", "order-paid", "1") == f"CommandError: {NO_PROJECT}"

    @pytest.mark.slow  # as rele-cli, by the same code
    def test_no_credentials(self, django: Newcomer) -> None:
        assert (
            django.manage("runrele")
            == f"{CONFIGURED}{IN_GOOGLE_CLOUD}CommandError: {NO_CREDENTIALS}"
        )

    @pytest.mark.slow  # as rele-cli, by the same code
    def test_a_key_file_that_is_not_there(self, django: Newcomer) -> None:
        install(django, {"GC_CREDENTIALS_PATH": "key.json"})

        assert django.manage("runrele") == f"CommandError: {NO_KEY_FILE}"

    def test_a_server_without_permission(self, django: Newcomer, denying_server: str) -> None:
        django.environment["PUBSUB_EMULATOR_HOST"] = denying_server

        assert django.manage("runrele") == f"{CONFIGURED}{HERE}CommandError: {DENIED_TO_READ}"
        assert (
            django.manage("rele", "publish", "order-paid", "1")
            == f"{HERE}CommandError: {DENIED_TO_PUBLISH}"
        )

    def test_no_subs(self, django: Newcomer) -> None:
        (django.folder / "orders" / "subs.py").unlink()

        assert django.manage("runrele") == (
            "CommandError: There is no subscription to consume. Relé looked for subs.py and subs/ "
            "in the installed apps: django.contrib.admin, django.contrib.auth, "
            "django.contrib.contenttypes, django.contrib.sessions, django.contrib.messages, "
            "django.contrib.staticfiles, rele, orders; declare one there with "
            '@sub(topic="…").\n'
        )

    @pytest.mark.parametrize(
        "command",
        ["runrele", "runrele --skip-checks", slow("showsubscriptions")],
    )
    def test_a_subs_module_with_an_error(self, django: Newcomer, command: str) -> None:
        django.write("orders/subs.py", "'''Subs.'''\nimport billing")

        assert django.manage(*command.split()) == (
            "CommandError: The subs module 'orders.subs' cannot be imported: ModuleNotFoundError: "
            "No module named 'billing' (FOLDER/orders/subs.py, line 2). Fix it: until then its "
            "subscriptions are not consumed.\n"
        )

    @pytest.mark.parametrize(
        "command", [slow("runrele"), "showsubscriptions", slow("rele publish order-paid 1")]
    )
    def test_a_middleware_that_is_not_there(self, django: Newcomer, command: str) -> None:
        install(django, {"MIDDLEWARE": ["shop.middleware.Audit"]})

        assert django.manage(*command.split()) == f"CommandError: {NO_MIDDLEWARE}"

    @pytest.mark.parametrize(
        "command", [slow("runrele"), slow("showsubscriptions"), "rele publish order-paid 1"]
    )
    def test_rele_is_no_dict(self, django: Newcomer, command: str) -> None:
        install(django, "my-shop")

        assert django.manage(*command.split()) == (
            "CommandError: RELE must be a dict, not 'my-shop'. Write "
            "RELE = {'GC_PROJECT_ID': 'my-project'}.\n"
        )

    def test_a_topic_that_does_not_exist(self, django: Newcomer, embedded_server: str) -> None:
        django.environment["PUBSUB_EMULATOR_HOST"] = embedded_server

        output = django.manage("rele", "publish", "no-such-topic", "1")

        assert output == f"{HERE}CommandError: {NO_TOPIC}"

    @pytest.mark.slow  # as rele-cli, by the same code
    def test_data_that_is_no_json(self, django: Newcomer) -> None:
        output = django.manage("rele", "publish", "order-paid", "hello")

        assert output == f"CommandError: {NO_JSON}"

    @pytest.mark.slow  # as rele-cli, by the same code
    def test_the_port_is_taken(self, django: Newcomer, denying_server: str) -> None:
        output = django.manage("rele", "emulator", "--host-port", denying_server)

        assert output == f"CommandError: {PORT_TAKEN}"


class TestReleIsNotInstalledInDjango:
    @pytest.fixture
    def django(self, newcomer: Newcomer, started_project: Path) -> Newcomer:
        shutil.copytree(started_project, newcomer.folder, dirs_exist_ok=True)
        return newcomer

    def test_there_is_no_command(self, django: Newcomer) -> None:
        assert django.manage("runrele") == (
            "Unknown command: 'runrele'. Did you mean runserver?\n"
            "Type 'manage.py help' for usage.\n"
        )

    def test_a_shell_that_publishes(self, django: Newcomer) -> None:
        code = "import rele\nrele.publish('order-paid', 1)\n"

        output = django.manage("shell", given=code)

        assert output.splitlines()[-1] == f"rele.exceptions.NoSettingsError: {NOT_SET_UP}"

    def test_a_view_that_publishes(self, django: Newcomer) -> None:
        django.write(
            "shop/urls.py",
            """
            import rele
            from django.urls import path

            def pay(request):
                rele.publish("order-paid", 1)

            urlpatterns = [path("pay/", pay)]
            """,
        )
        django.write(
            "ask.py",
            """
            import html, os, re, sys, django

            os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
            django.setup()
            from django.test import Client

            client = Client(HTTP_HOST="localhost", raise_request_exception=False)
            page = client.get("/pay/").content.decode()
            [message] = re.findall('class="exception_value">(.*?)</pre>', page)
            sys.exit(html.unescape(message))
            """,
        )

        output = django.output_of(django.start("ask.py"))

        assert output.splitlines()[-1] == NOT_SET_UP


class TestWrongEmulatorAddress:
    """Last, since the processes need 10 s, which the other tests take."""

    def test_a_worker_says_what_it_could_not_reach(
        self, unreachable: dict[str, tuple[Newcomer, subprocess.Popen[str]]]
    ) -> None:
        newcomer, process = unreachable["run"]

        configured, waiting, error = re.split(
            r"^(.* WARNING .*\n)", newcomer.output_of(process), flags=re.MULTILINE
        )
        assert configured == (
            f"{CONFIGURED}Using the Pub/Sub project rele-local at 127.0.0.1:PORT.\n"
        )
        assert waiting.endswith("rele.worker: Waiting up to 10 s for Pub/Sub at 127.0.0.1:PORT.\n")
        assert error == (
            "Error: Pub/Sub cannot be reached at 127.0.0.1:PORT within 10 s: "
            "PUBSUB_EMULATOR_HOST names that address. Start `rele-cli emulator` there, or correct "
            "it.\n"
        )

    def test_publishing_says_what_did_not_answer(
        self, unreachable: dict[str, tuple[Newcomer, subprocess.Popen[str]]]
    ) -> None:
        newcomer, process = unreachable["publish order-paid 1"]

        assert newcomer.output_of(process) == (
            "Using the Pub/Sub project rele-local at 127.0.0.1:PORT.\n"
            "Error: The message for the topic 'order-paid' was not published: 127.0.0.1:PORT did "
            "not accept the message for the topic 'order-paid' within 1.5 s. It may still arrive: "
            "sending continues. Allow more time with PUBLISHER_TIMEOUT or publish(timeout=…). "
            "PUBSUB_EMULATOR_HOST names that address. Start `rele-cli emulator` there, or correct "
            "it.\n"
        )


class TestWrongUse:
    """Status 2, as of every command line, and one line."""

    @pytest.mark.parametrize("command", ["runrele", "showsubscriptions", "rele publish"])
    def test_of_a_django_command(self, django: Newcomer, command: str) -> None:
        process = django.start("manage.py", *command.split(), "--nope")

        output, _ = process.communicate(timeout=60)

        assert process.returncode == 2
        [line] = output.splitlines()
        assert line.startswith(f"manage.py {command}: error: ")

    @pytest.mark.parametrize("arguments", ["run --nope", "fly"])
    def test_of_rele_cli(self, newcomer: Newcomer, arguments: str) -> None:
        process = newcomer.start("-m", "rele", *arguments.split())

        output, _ = process.communicate(timeout=60)

        assert process.returncode == 2
        [line] = output.splitlines()
        assert line.startswith("rele-cli")
