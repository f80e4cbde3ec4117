"""The command line: one short file a command.

`run` turns errors, Ctrl-C and closed pipes into exit codes, `app` lists the commands, `output` writes results.
Commands import what computes only when they are called (inside the function): showing help or a version then takes
a fraction of the time that loading an engine does. This is the one room where such imports are the rule.
"""

from .run import main

__all__ = ["main"]
