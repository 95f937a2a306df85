"""`python -m study` and the `study` command."""

from __future__ import annotations

import gc
import sys

from study.cli import run


def main() -> None:
    """The console script's entry point."""
    code = run(sys.argv[1:])
    # On its way out Python looks for garbage several times, among all that torch, Ray and MLflow have made:
    # two seconds, in which nothing happens. What is frozen is not looked at.
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    main()
