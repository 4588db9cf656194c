"""What can be refused without weights: questions and training requests.

It may import the gateway's parts, but no route.
"""
