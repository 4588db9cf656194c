"""What operators look at: live workers, queue metrics, logs.

It may import `bodies`.
"""
