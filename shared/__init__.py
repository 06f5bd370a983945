"""Code that knows no task. Importing it prepares the import of Keras: its backend, and no messages of its start."""

from shared import starting

if starting.is_command():  # first, because the other imports take a while
    starting.install()

from shared import backend, compilation, quiet

backend.install()
compilation.install()
quiet.install()
