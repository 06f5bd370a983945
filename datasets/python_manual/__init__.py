"""The reference manual of Python, which every Python brings."""
