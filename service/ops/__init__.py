"""What an operator looks at: live workers, queue metrics, logs.

It may import `bodies`.
"""
