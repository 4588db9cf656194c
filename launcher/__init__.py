"""`vireo up` and the operator's other commands: starting, watching and examining a copy of Vireo on one machine.

It may import `core` and the client; it starts the other rooms as processes and never imports them.
"""
