"""The processes of a copy that `vireo up` starts: which they are, and what happens when one ends. It may import
`embedded_redis`, `redis_at_hand`, `data_dir` and `core`. Inside: children, workers ← supervisor.
"""
