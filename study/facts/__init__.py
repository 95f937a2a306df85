"""The notes' statements that a formula settles, each put to the test in numbers.

    examine(statements()["C57"]).truth    measured now; the verdict follows from the numbers alone
    answered()                            every statement, and what answers it: a fact, a study, nothing

A new one is an entry in notes.toml, a function in the module of its subject, and a line in table.py.
"""
