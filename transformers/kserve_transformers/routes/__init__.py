"""HTTP routes: each parses its protocol's requests into `ServiceRequest`, and writes the answers in its form."""
