"""The messages of ``google.pubsub.v1``, as protobuf classes and as bytes; no rule of Pub/Sub."""
