"""The commands of `vireo`, one module per noun."""
