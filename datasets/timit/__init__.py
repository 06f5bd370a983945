"""TIMIT, English read aloud, its phones timed by hand."""
