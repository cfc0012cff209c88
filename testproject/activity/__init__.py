"""The activity list: what other apps have announced, known from their messages alone."""
