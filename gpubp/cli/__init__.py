"""Floor 6: the command line. Commands parse, call and print; everything is computed on the floors below.

Top-down: `app` (where it begins), `commands` (all of them, errors and exit codes), a module for each command,
`options` (what several commands share), `groups` (how they share it), `command` (what all have in common), with
`panels` and `help` (pages of help), `config` (options from a file) and `completion`; `output` (standard output and
standard error), `wrapping`, `shapes` (tables and lists).
"""
