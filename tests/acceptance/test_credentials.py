"""A worker that is refused for a while, or cannot get at a token, over TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import grpc
import pytest
from google.pubsub_v1.services.publisher.transports import PublisherTransport

from rele.engine.times import Times
from tests.support.credentials import IMPERSONATE, TokenServer, write_credentials
from tests.support.project import Project, read_until
from tests.support.tls_front import MetadataServer, TlsFront, write_service_account
from tests.support.watched import start_watched, write_project

SCOPES = PublisherTransport.AUTH_SCOPES
"""The scopes that Google's client asks for."""

Publish = Callable[[range], None]


@pytest.fixture
def front(project: Project, embedded_server: str) -> Iterator[TlsFront]:
    """What the worker takes for Pub/Sub itself: no emulator is named in its environment."""
    certificate = project.folder / "certificate.pem"
    with TlsFront(embedded_server, certificate) as front:
        project.environment.pop("PUBSUB_EMULATOR_HOST")
        project.environment["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"] = str(certificate)
        yield front


@pytest.fixture
def metadata_server(project: Project) -> Iterator[MetadataServer]:
    """Where the worker finds its default credentials."""
    with MetadataServer() as server:
        project.environment.pop("NO_GCE_CHECK", None)
        project.environment |= {
            "GCE_METADATA_HOST": server.address,
            "GCE_METADATA_IP": server.address,
            "CLOUDSDK_CONFIG": str(project.folder / "no-gcloud"),
        }
        project.environment.pop("GOOGLE_APPLICATION_CREDENTIALS", None)
        yield server


@pytest.fixture
def token_server() -> Iterator[TokenServer]:
    with TokenServer() as server:
        yield server


@pytest.mark.parametrize("engine", ["google", "rele"])
@pytest.mark.parametrize("kind", ["service_account", "external_account", "impersonation"])
def test_a_file_of_any_type_publishes(
    project: Project,
    pull_events: Callable[[], list[bytes]],
    front: TlsFront,
    token_server: TokenServer,
    kind: str,
    engine: str,
) -> None:
    path = project.folder / "file.json"
    if kind == "service_account":
        write_service_account(path)
    else:
        subject_token = project.write("subject-token", "of-the-workload")
        fields = {
            "token_url": f"{token_server.url}/token",
            "credential_source": {"file": str(subject_token)},
        }
        if kind == "impersonation":
            fields["service_account_impersonation_url"] = f"{token_server.url}/v1/{IMPERSONATE}"
        write_credentials(path, "external_account", **fields)
    project.write_settings(
        ENGINE=engine,
        GC_CREDENTIALS_PATH=str(path),
        CLIENT_OPTIONS={"api_endpoint": front.address},
    )

    status, output = project.run("-m", "rele", "publish", "events", "1")

    assert status == 0, output
    assert pull_events() == [b"1"]
    [token] = front.tokens
    if kind == "service_account":
        assert token_server.exchanged == [], "its key signs its tokens"
    elif kind == "external_account":
        assert token == "Bearer of-external-account"
        [form] = token_server.exchanged
        assert form["subject_token"] == "of-the-workload"
        assert form["scope"].split() == list(SCOPES)
    else:
        assert token == "Bearer of-service-account"
        [body] = token_server.impersonated
        assert body["scope"] == list(SCOPES)


IN_GREENLETS = """
    {patch}
    import threading
    import rele

    accepted = []

    def publish(number):
        accepted.append(rele.publish("events", number, blocking=True, timeout=30).result(0))

    threads = [threading.Thread(target=publish, args=[number]) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(accepted), "accepted", flush=True)
"""


@pytest.mark.parametrize(
    "patch",
    [
        "from gevent import monkey; monkey.patch_all()",
        "import eventlet; eventlet.monkey_patch()",
    ],
    ids=["gevent", "eventlet"],
)
def test_a_token_is_fetched_where_threads_are_greenlets(
    project: Project,
    pull_events: Callable[[], list[bytes]],
    front: TlsFront,
    token_server: TokenServer,
    patch: str,
) -> None:
    subject_token = project.write("subject-token", "of-the-workload")
    path = write_credentials(
        project.folder / "file.json",
        "external_account",
        token_url=f"{token_server.url}/token",
        credential_source={"file": str(subject_token)},
    )
    project.write_settings(
        ENGINE="rele",
        GC_CREDENTIALS_PATH=str(path),
        CLIENT_OPTIONS={"api_endpoint": front.address},
    )
    project.write("main.py", IN_GREENLETS.format(patch=patch))

    status, output = project.run("main.py")

    assert (status, output.splitlines()[-1]) == (0, "20 accepted")
    assert len(pull_events()) == 20
    assert token_server.exchanged


PUBLISH_AND_WAIT = """
    import logging, sys
    import rele

    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="LOG %(name)s %(message)s")
    logging.getLogger("google").setLevel(logging.CRITICAL)
    logging.getLogger("grpc").setLevel(logging.CRITICAL)
    future = rele.publish("events", 1)
    print("accepted", bool(future.result(timeout=60)), flush=True)
"""


def test_a_message_waits_until_a_token_can_be_fetched(
    project: Project,
    pull_events: Callable[[], list[bytes]],
    front: TlsFront,
    metadata_server: MetadataServer,
) -> None:
    project.write_settings(ENGINE="rele", CLIENT_OPTIONS={"api_endpoint": front.address})
    metadata_server.status = 404
    process = project.start(str(project.write("publish.py", PUBLISH_AND_WAIT)))
    read_until(process.stdout, "has accepted no messages")

    metadata_server.status = 200

    output, _ = process.communicate(timeout=60)
    assert "accepts messages again" in output
    assert output.splitlines()[-1] == "accepted True"
    assert pull_events() == [b"1"]


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_a_permission_that_is_withdrawn_and_granted_again(
    project: Project, front: TlsFront, publish: Publish, code: str
) -> None:
    key = project.folder / "key.json"
    write_service_account(key)
    write_project(
        project,
        GC_CREDENTIALS_PATH=str(key),
        CLIENT_OPTIONS={"api_endpoint": front.address},
    )
    worker = start_watched(project, Times(healthy_after=1.0))
    publish(range(5))
    worker.wait_for_jobs(range(5))

    front.refuse(grpc.StatusCode[code], "not you")
    publish(range(5, 10))
    worker.wait_for("is interrupted")
    front.allow()

    worker.wait_for_jobs(range(5, 10))
    worker.wait_for("The stream of jobs is back")
    assert worker.stop() < 2
    log = worker.log()
    assert len(log) == 2
    assert "not you" in log[0]
    assert "roles/pubsub.subscriber" in log[0]


@pytest.mark.parametrize(
    ("status", "accepted_after"),
    [
        (404, 11.0),
        # Google's client tries again for 15 s at this one.
        pytest.param(503, 30.0, marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
    ],
)
def test_credentials_that_cannot_be_refreshed_for_a_while(
    project: Project,
    front: TlsFront,
    metadata_server: MetadataServer,
    publish: Publish,
    status: int,
    accepted_after: float,
) -> None:
    write_project(project, CLIENT_OPTIONS={"api_endpoint": front.address})
    worker = start_watched(project, Times(accepted_after=accepted_after))
    publish(range(5))
    worker.wait_for_jobs(range(5))

    metadata_server.status = status
    front.end_streams()
    publish(range(5, 10))
    worker.wait_for("cannot be used", seconds=60)
    metadata_server.status = 200

    worker.wait_for_jobs(range(5, 10))
    worker.wait_for("answers again", seconds=60)
    assert worker.stop() < 2
    # While a call waits for a token, acks do not get through, which is logged apart.
    log = [line for line in worker.log() if "settlement_reports" not in line]
    assert len(log) == 2, log
    assert "metadata" in log[0]
