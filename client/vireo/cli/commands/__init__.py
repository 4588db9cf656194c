"""The commands of `vireo`, one module per noun. They may import the console and the client library."""
