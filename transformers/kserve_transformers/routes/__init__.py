"""HTTP routes: each parses its protocol's requests into `ServiceRequest`, and words the answers."""
