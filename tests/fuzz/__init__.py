"""
Fuzzing: five pure functions from bytes to nothing, and what mutates a corpus to feed them.

A target raises where a promise of the library is broken, for whatever bytes. `engine` makes the
bytes, blind to coverage but not to the grammar; `python -m tests.fuzz` runs it for as long as it is
told, and `test_fuzz` for a moment, to see that each target finds a fault planted in what it tests.
"""
