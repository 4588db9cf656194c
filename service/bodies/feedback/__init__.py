"""Bodies of the routes of feedback, and the files that it comes from and goes into: Label Studio's JSON, and CSV.

It may import the rest of `service.bodies`.
"""
