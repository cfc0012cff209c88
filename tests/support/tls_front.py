"""A server with TLS before a Pub/Sub server, which a test can make refuse; and who gives tokens."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_STREAM = "StreamingPull"


class TlsFront:
    """Passes every call on to ``target``, a HOST:PORT without TLS, unless it is to refuse.

    Args:
        target: the Pub/Sub server.
        certificate_path: where to write the certificate that clients have to trust.
    """

    def __init__(self, target: str, certificate_path: Path) -> None:
        certificate, key = _self_signed_certificate()
        certificate_path.write_bytes(certificate)
        self._target = grpc.insecure_channel(target)
        self._lock = threading.Lock()
        self._streams: set[Any] = set()
        self._refusal: tuple[grpc.StatusCode, str] | None = None
        self.tokens: list[str] = []
        """The ``authorization`` of each call that has one answer."""
        options = [("grpc.max_concurrent_streams", 100)]
        self._server = grpc.server(ThreadPoolExecutor(32), options=options)
        self._server.add_generic_rpc_handlers((_Handler(self),))
        port = self._server.add_secure_port(
            "localhost:0", grpc.ssl_server_credentials([(key, certificate)])
        )
        self.address = f"localhost:{port}"

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        """End all streams in this way, and refuse every call."""
        self._refusal = (code, details)
        self.end_streams()

    def allow(self) -> None:
        """Refuse no more."""
        self._refusal = None

    def end_streams(self) -> None:
        """End the streams as UNAVAILABLE, as Pub/Sub does now and then."""
        with self._lock:
            for stream in self._streams:
                stream.cancel()

    def call(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Pass on a call that has one answer."""
        self._check(context)
        self.tokens += [v for key, v in context.invocation_metadata() if key == "authorization"]
        pass_on: Any = self._target.unary_unary(method)
        try:
            answer: bytes = pass_on(request)
        except grpc.RpcError as error:
            _pass_on(error, context)
        return answer

    def stream(
        self, method: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Pass on a stream."""
        self._check(context)
        open_stream: Any = self._target.stream_stream(method)
        stream: Any = open_stream(requests)
        context.add_callback(stream.cancel)
        with self._lock:
            self._streams.add(stream)
        try:
            yield from stream
        except grpc.RpcError as error:
            self._check(context)
            if error.code() is grpc.StatusCode.CANCELLED:
                context.abort(grpc.StatusCode.UNAVAILABLE, "The stream was ended.")
            _pass_on(error, context)
        finally:
            with self._lock:
                self._streams.discard(stream)

    def _check(self, context: grpc.ServicerContext) -> None:
        if self._refusal is not None:
            context.abort(*self._refusal)

    def __enter__(self) -> TlsFront:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.end_streams()
        self._server.stop(0.5).wait()
        self._target.close()


def _pass_on(error: Any, context: grpc.ServicerContext) -> None:
    context.abort(error.code(), error.details())


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, front: TlsFront) -> None:
        self._front = front

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        method = details.method
        if method.endswith(_STREAM):
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._front.stream(method, requests, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._front.call(method, request, context)
        )


class MetadataServer:
    """Gives tokens of a service account, as the metadata server of a machine of Google's does.

    Each token is used once: it has all but expired.
    """

    def __init__(self) -> None:
        self.status = 200
        """What a request for a token is answered with."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler_class())
        self.address = f"127.0.0.1:{self._server.server_port}"

    def _answer(self, path: str) -> tuple[int, str]:
        if path.startswith("/computeMetadata/v1/instance/service-accounts/default/token"):
            if self.status != 200:
                return self.status, "no token now"
            return 200, json.dumps(
                {"access_token": "token", "expires_in": 1, "token_type": "Bearer"}
            )
        if path.startswith("/computeMetadata/v1/instance/service-accounts/"):
            return 200, json.dumps({"email": "worker@test", "scopes": [], "aliases": []})
        return (200, "") if path == "/" else (404, "")

    def _make_handler_class(server) -> Callable[..., Any]:  # noqa: N805 - self is the handler's
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = server._answer(self.path)
                self.send_response(status)
                self.send_header("Metadata-Flavor", "Google")
                kind = "application/json" if body.startswith("{") else "text/plain"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    def __enter__(self) -> MetadataServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def write_service_account(path: Path) -> None:
    """Write the key file of a service account that signs its tokens itself."""
    account = {
        "type": "service_account",
        "project_id": "test",
        "private_key_id": "1",
        "private_key": _to_pem(_new_key()).decode(),
        "client_email": "worker@test.iam.gserviceaccount.com",
        "client_id": "1",
        # Google's client asks nobody: its tokens for Pub/Sub are signed by the key alone.
        "token_uri": "http://127.0.0.1:1/token",
    }
    path.write_text(json.dumps(account), encoding="utf-8")


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _to_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _self_signed_certificate() -> tuple[bytes, bytes]:
    """A certificate for the loopback address and its key, in PEM."""
    key = _new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), _to_pem(key)
