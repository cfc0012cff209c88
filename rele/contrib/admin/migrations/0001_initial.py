import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Failure',
            fields=[
                ('fingerprint', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('kind', models.CharField(help_text="The exception's class.", max_length=255)),
                ('text', models.TextField(help_text="The first line of the latest one's message.")),
                ('place', models.CharField(help_text='Where the latest one was raised.', max_length=255)),
                ('traceback', models.TextField(help_text='Of the latest one that was kept.')),
                ('count', models.PositiveBigIntegerField(default=0)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField(db_index=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Process',
            fields=[
                ('name', models.CharField(max_length=255, primary_key=True, serialize=False)),
                ('seen_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('snapshot', models.TextField(help_text='As JSON.')),
            ],
            options={
                'verbose_name_plural': 'processes',
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Subscription',
            fields=[
                ('name', models.CharField(help_text="The subscription's id, without the project.", max_length=255, primary_key=True, serialize=False)),
                ('is_paused', models.BooleanField(default=False)),
                ('threads', models.PositiveIntegerField(blank=True, help_text='How many messages a worker process handles at a time; empty: as declared.', null=True)),
                ('changed_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('changed_by', models.CharField(blank=True, default='', max_length=255)),
            ],
            options={
                'permissions': (('pause_subscription', 'Can pause and resume subscriptions, and set their threads'), ('replay_deadletter', 'Can replay dead letters')),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Minute',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subscription', models.CharField(max_length=255)),
                ('run', models.CharField(help_text='The process, and when it began.', max_length=255)),
                ('minute', models.BigIntegerField(help_text='Since the epoch.')),
                ('handled', models.PositiveIntegerField(default=0, help_text='Messages, with the failed ones.')),
                ('failed', models.PositiveIntegerField(default=0)),
                ('durations', models.JSONField(default=dict, help_text='How many messages took as long as each step of the scale.')),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['subscription', 'minute'], name='rele_admin_history')],
                'constraints': [models.UniqueConstraint(fields=('minute', 'subscription', 'run'), name='rele_admin_once')],
            },
        ),
    ]
