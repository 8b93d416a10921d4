"""The command-line client: files, folders or standard input to JSON lines."""
