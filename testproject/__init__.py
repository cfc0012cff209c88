"""The repository's only Django project: the runnable demo, and the settings of the tests."""
