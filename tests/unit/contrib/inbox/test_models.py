from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_the_migration_is_that_of_the_model() -> None:
    call_command("makemigrations", "rele_inbox", check=True, dry_run=True, verbosity=0)
