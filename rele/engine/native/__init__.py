"""Relé's own engine: a pure core that decides, and thin drivers on gRPC's synchronous stubs."""
