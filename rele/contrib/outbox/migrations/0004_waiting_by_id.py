from django.db import migrations, models

from rele.contrib.outbox.indexes import ConditionIndex


class Migration(migrations.Migration):

    dependencies = [
        ("rele_outbox", "0003_exact_texts"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="outboxmessage", name="rele_outbox_waiting"),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=ConditionIndex(
                column="state",
                condition=models.Q(("state", 0)),
                fields=["id"],
                name="rele_outbox_waiting",
            ),
        ),
    ]
