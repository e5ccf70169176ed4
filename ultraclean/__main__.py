"""`python -m ultraclean` is the command `ultraclean`."""

import sys

from ultraclean.cli import main

sys.exit(main())
