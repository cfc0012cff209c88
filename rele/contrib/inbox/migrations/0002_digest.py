import hashlib

from django.db import migrations, models

CHUNK = 1_000


def fill_in(apps, schema_editor):
    """Compute the digests of the messages that are there already."""
    messages = apps.get_model("rele_inbox", "InboxMessage").objects.using(
        schema_editor.connection.alias
    )
    last = 0
    while chunk := list(messages.filter(id__gt=last).order_by("id")[:CHUNK]):
        for message in chunk:
            text = f"{message.subscription}\0{message.event_id}"
            message.digest = hashlib.sha256(text.encode()).hexdigest()
        messages.bulk_update(chunk, ["digest"])
        last = chunk[-1].id


def drop_former_constraint(apps, schema_editor):
    """Drop the constraint of an earlier first migration, too long for an index of MySQL or MariaDB.

    On SQLite, altering the column copies the table without that constraint.
    """
    if schema_editor.connection.vendor == "postgresql":
        table = apps.get_model("rele_inbox", "InboxMessage")._meta.db_table
        schema_editor.execute(
            f"ALTER TABLE {schema_editor.quote_name(table)} "
            "DROP CONSTRAINT IF EXISTS rele_inbox_once"
        )


class Migration(migrations.Migration):

    dependencies = [
        ("rele_inbox", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="inboxmessage",
            name="digest",
            field=models.CharField(editable=False, max_length=64, null=True),
        ),
        migrations.RunPython(fill_in, migrations.RunPython.noop),
        migrations.RunPython(drop_former_constraint, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="inboxmessage",
            name="digest",
            field=models.CharField(editable=False, max_length=64),
        ),
        migrations.AddConstraint(
            model_name="inboxmessage",
            constraint=models.UniqueConstraint(fields=["digest"], name="rele_inbox_digest"),
        ),
    ]
