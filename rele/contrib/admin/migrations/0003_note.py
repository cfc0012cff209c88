import django.utils.timezone
from django.db import migrations, models

from rele.management.collations import compare_exactly


def compare_texts_exactly(apps, schema_editor):
    compare_exactly(schema_editor, apps.get_model("rele_admin", "Note")._meta.db_table)


class Migration(migrations.Migration):

    atomic = False  # as MySQL and MariaDB change tables

    dependencies = [
        ("rele_admin", "0002_exact_texts"),
    ]

    operations = [
        migrations.CreateModel(
            name='Note',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('by', models.CharField(help_text='The user of the operating system, and the machine.', max_length=255)),
                ('what', models.TextField(help_text='A sentence.')),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['subscription', 'at'], name='rele_admin_notes')],
            },
        ),
        migrations.RunPython(compare_texts_exactly, migrations.RunPython.noop),
    ]
