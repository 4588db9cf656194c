"""What `vireo` can do, one module per noun."""
