import sys

from benchmarks.torture import main

sys.exit(not main())
