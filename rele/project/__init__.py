"""A project as a whole, for every front door: what it declares, and what is wrong with it."""
