"""Two releases of a service side by side: what they answer, how fast, in how much memory, and whether it matters."""
