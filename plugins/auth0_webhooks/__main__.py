"""``python -m auth0_webhooks``: checks and explains route files."""

from __future__ import annotations

import sys

from auth0_webhooks.cli.commands import main

if __name__ == "__main__":
    sys.exit(main())
