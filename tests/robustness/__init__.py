"""Campaigns of hostile files, hostile command lines and kills; docs/reliability.md has the method and the figures."""
