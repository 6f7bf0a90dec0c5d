"""`python -m pipeline.cli`, as the installed command."""

import sys

from pipeline.cli.main import main

sys.exit(main())
