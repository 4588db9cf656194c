"""Who may use this installation: API keys, what they allow, and what was done with those that administer it. This room
imports `core.projects` and `core.state`.
"""
