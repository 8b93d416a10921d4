"""One module a command: its docstring is the help, `add_arguments` declares, `run` does. __main__ names them."""
