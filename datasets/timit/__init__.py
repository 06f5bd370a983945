"""TIMIT: read English speech with hand-labelled phone times."""
