from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("rele_outbox", "0003_exact_texts"),
    ]

    operations = [
        migrations.RemoveIndex(model_name="outboxmessage", name="rele_outbox_waiting"),
        migrations.AddIndex(
            model_name="outboxmessage",
            index=models.Index(
                condition=models.Q(("state", 0)), fields=["id"], name="rele_outbox_waiting"
            ),
        ),
    ]
