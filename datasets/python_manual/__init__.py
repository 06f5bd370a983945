"""The language reference that comes with Python."""
