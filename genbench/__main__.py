"""Run the command line with ``python -m genbench``."""

from genbench.cli import main

main()
