"""The subcommands of `hyperrl`, a module each.

`add` adds the subcommand to the parser. The function that it sets as the parser's default `command` takes
the parsed arguments and the console, and returns the exit code: 0 for success, 1 for a run that failed, 2
for a user's error (each with one line on stderr), 130 after Ctrl-C, 143 after SIGTERM.
"""
