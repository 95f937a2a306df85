"""`python -m study` and the `study` command."""

from __future__ import annotations

import sys

from study.cli import run


def main() -> None:
    """The console script's entry point."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
