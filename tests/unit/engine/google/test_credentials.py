from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.auth import aws, external_account_authorized_user, identity_pool
from google.auth import impersonated_credentials as impersonated
from google.oauth2 import credentials as of_user
from google.oauth2 import service_account

from rele.engine.google.credentials import read_credentials_file
from tests.support.credentials import UNUSABLE, WITHOUT_PROJECT, write_credentials

CLASSES = {
    "authorized_user": of_user.Credentials,
    "external_account": identity_pool.Credentials,
    "external_account_authorized_user": external_account_authorized_user.Credentials,
    "impersonated_service_account": impersonated.Credentials,
    "service_account": service_account.Credentials,
}


@pytest.mark.parametrize("kind", CLASSES)
def test_a_file_of_any_type_is_read(kind: str, tmp_path: Path) -> None:
    path = write_credentials(tmp_path / "file.json", kind)

    credentials, project = read_credentials_file(str(path))

    assert type(credentials) is CLASSES[kind]
    assert project == (None if kind in WITHOUT_PROJECT else "test")


def test_the_source_of_an_external_account_may_be_a_cloud(tmp_path: Path) -> None:
    path = write_credentials(
        tmp_path / "file.json",
        "external_account",
        subject_token_type="urn:ietf:params:aws:token-type:aws4_request",
        credential_source={
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com",
        },
    )

    assert isinstance(read_credentials_file(str(path))[0], aws.Credentials)


@pytest.mark.parametrize("content", UNUSABLE)
def test_a_file_without_credentials_is_an_error_that_says_why(
    content: str | bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ValueError, match=UNUSABLE[content]):
        read_credentials_file(str(path))


def test_a_file_that_cannot_be_read_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Is a directory"):
        read_credentials_file(str(tmp_path))
    with pytest.raises(ValueError, match=f"File {re.escape(str(tmp_path))}/no was not found"):
        read_credentials_file(f"{tmp_path}/no")


def test_a_key_that_is_damaged_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = write_credentials(tmp_path / "file.json", "service_account", private_key="damaged")

    with pytest.raises(ValueError, match=r"Failed to load service account .*PEM"):
        read_credentials_file(str(path))
