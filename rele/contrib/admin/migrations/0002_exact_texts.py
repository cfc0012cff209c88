from django.db import migrations

from rele.management.collations import compare_exactly


def compare_texts_exactly(apps, schema_editor):
    for name in ("Failure", "Minute", "Process", "Subscription"):
        compare_exactly(schema_editor, apps.get_model("rele_admin", name)._meta.db_table)


class Migration(migrations.Migration):

    atomic = False  # as MySQL and MariaDB change tables

    dependencies = [
        ("rele_admin", "0001_initial"),
    ]

    operations = [
        # Backwards nothing is done: what has been told apart cannot be made equal again.
        migrations.RunPython(compare_texts_exactly, migrations.RunPython.noop),
    ]
