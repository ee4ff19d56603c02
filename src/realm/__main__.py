"""`python -m realm` is the command line; `torchrun -m realm` runs it in several processes."""

from __future__ import annotations

from realm.cli import main

if __name__ == "__main__":
    main()
