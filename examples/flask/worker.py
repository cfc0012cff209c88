"""Consumes the shop's orders until a signal stops it."""

from app import rele_config

from rele.config import load_subscriptions_from_paths
from rele.worker import create_and_run

if __name__ == "__main__":
    create_and_run(
        load_subscriptions_from_paths(["subs"], rele_config.sub_prefix, rele_config.filter_by),
        rele_config,
        on_start=lambda: print("Pulling messages. Press Ctrl-C to stop.", flush=True),
    )
