"""Floor 6: the command line. Commands parse, call and print; everything is computed on the floors below.

Top-down: `app` (where it begins), `commands` (all of them, errors and exit codes), a module for each command,
`options` (what several commands share), `groups` (how they share it), `output` (standard output and standard error),
`shapes` (tables and lists).
"""
