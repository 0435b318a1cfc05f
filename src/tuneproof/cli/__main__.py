"""``python -m tuneproof.cli``."""

from tuneproof.cli import main

main()
