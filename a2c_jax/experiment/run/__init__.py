"""A run: one configuration, trained into one folder, and everything that reads it."""
