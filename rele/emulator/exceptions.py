"""What starting, stopping and asking a server raises."""


class EmulatorError(Exception):
    """The base of every error that starting, stopping or asking a server raises."""


class DataDirError(EmulatorError):
    """The server cannot keep its messages in the directory that it was given."""

    def __init__(self, directory: object, reason: str) -> None:
        super().__init__(
            f"The Pub/Sub emulator cannot use the data directory {directory}: {reason}"
        )


class BindError(EmulatorError):
    """The server cannot listen on the address that it was given."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"The Pub/Sub emulator cannot listen on {address}: {reason}")
        self.address = address


class PortInUseError(BindError):
    """Another program listens on the address already."""

    def __init__(self, address: str) -> None:
        super().__init__(
            address,
            "another program is using that port. Stop it, or choose another port; "
            "port 0 takes any free one.",
        )


class StatusError(EmulatorError):
    """No embedded server answers at the address."""
