"""The life of a process: signals, and how it is asked to stop."""
