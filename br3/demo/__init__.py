"""The demonstration: a small but real repository, a plan of four builds, and every command on the way.

Promises: needs no network, no key and no coding agent; runs the program as a user runs it, command by command, and
prints each; what it shows is what happened. The project's files lie in ``project/``.
"""
