import sys

from benchmarks.load import main

sys.exit(not main())
