import sys

from benchmarks.decoding import main

sys.exit(not main(sys.argv[1:]))
