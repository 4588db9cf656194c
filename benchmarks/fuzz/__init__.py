"""Coverage-guided fuzzing of our own parsers: what is fuzzed, how, and the inputs that reach new code."""
