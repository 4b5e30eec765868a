"""``python -m podfence``: the command line, for where no script of it is on the path."""

from __future__ import annotations

from podfence.cli.main import main

if __name__ == "__main__":
    main()
