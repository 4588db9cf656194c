import sys

from benchmarks.faults import main

sys.exit(not main())
