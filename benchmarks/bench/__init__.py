"""`make bench`: Vireo beside its peers, and what each part of a question costs, as one table.

Modules: `environments` makes the peers' virtual environments, `servers` starts and stops what is compared, `processes`
reads what they cost, `clients` asks them, `end_to_end`, `floor`, `text` and `again` are rows of the table, `gpu` the
one for a GPU, `goals` says which goals were reached, `table` writes it down, `machine` describes where.
"""
