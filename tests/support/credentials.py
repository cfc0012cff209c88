"""Files with Google credentials of each type, and a server that exchanges tokens for some."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.support.tls_front import write_service_account

USER = {"client_id": "client", "client_secret": "secret", "refresh_token": "token"}

IMPERSONATE = "serviceAccounts/worker@test.iam.gserviceaccount.com:generateAccessToken"

EXTERNAL_ACCOUNT = {
    "type": "external_account",
    "audience": "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/a/"
    "providers/b",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": "https://sts.googleapis.com/v1/token",
    "credential_source": {"file": "/run/secrets/subject-token"},
}
"""The configuration of workload identity federation whose subject token is in a file."""

WITHOUT_PROJECT: dict[str, dict[str, Any]] = {
    "authorized_user": {"type": "authorized_user", **USER},
    "external_account": EXTERNAL_ACCOUNT,
    "external_account_authorized_user": {
        "type": "external_account_authorized_user",
        "audience": "//iam.googleapis.com/locations/global/workforcePools/a/providers/b",
        "token_url": "https://sts.googleapis.com/v1/oauthtoken",
        "token_info_url": "https://sts.googleapis.com/v1/introspect",
        **USER,
    },
    "impersonated_service_account": {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": "https://iamcredentials.googleapis.com/v1/projects/-/"
        + IMPERSONATE,
        "source_credentials": {"type": "authorized_user", **USER},
    },
}
"""What a file of each type has in it, except a service account's, which names its project."""

UNUSABLE: dict[str | bytes, str] = {
    "": "File .* is not a valid json file: Expecting value",
    "key": "File .* is not a valid json file: Expecting value",
    b"\xff": "File .* is not a valid json file: ",
    "[]": "it is not a JSON object with the fields of credentials",
    "{}": "The file .* does not have a valid type. Type is None, expected one of",
    '{"type": "web"}': "The file .* does not have a valid type. Type is web, expected one of",
    '{"type": "service_account"}': "Failed to load .*: .*missing fields",
    '{"type": "authorized_user"}': "Failed to load .*: .*missing fields",
    '{"type": "external_account"}': "Failed to load .*: A valid credential source",
    '{"type": "impersonated_service_account"}': "it is not a JSON object with the fields",
}
"""Contents of files that have no credentials, and what an error says about each."""


def write_credentials(path: Path, kind: str, **more: Any) -> Path:
    """Write a file with credentials of ``kind``, with these fields besides."""
    if kind == "service_account":
        write_service_account(path)
        fields = json.loads(path.read_text(encoding="utf-8"))
    else:
        fields = WITHOUT_PROJECT[kind]
    path.write_text(json.dumps({**fields, **more}), encoding="utf-8")
    return path


class TokenServer:
    """Gives a token for that of an external account, or of a service account in its place."""

    def __init__(self) -> None:
        self.exchanged: list[dict[str, str]] = []
        """The form of each request for the token of an external account."""
        self.impersonated: list[dict[str, Any]] = []
        """The body of each request for the token of a service account."""
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler_class())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, path: str, body: str) -> dict[str, Any]:
        if path.endswith(":generateAccessToken"):
            self.impersonated.append(json.loads(body))
            return {"accessToken": "of-service-account", "expireTime": "2999-01-01T00:00:00Z"}
        self.exchanged.append({key: " ".join(values) for key, values in parse_qs(body).items()})
        return {
            "access_token": "of-external-account",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 3600,
        }

    def _make_handler_class(server) -> Any:  # noqa: N805 - self is the handler's
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                answer = json.dumps(server._answer(self.path, body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: object) -> None:
                pass

        return Handler

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
