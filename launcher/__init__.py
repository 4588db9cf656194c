"""The commands that run Vireo on one machine: `vireo up` starts and watches it, `vireo doctor` examines it, `vireo
sample` writes a clip to try it with, `vireo plan` says what a number of videos per day needs.

The launcher may import `core` and the client. It starts the other rooms as processes and never imports them.
"""
