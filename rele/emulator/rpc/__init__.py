"""The RPCs of the services over gRPC."""
