"""Wire formats: base64, V1, V2 over REST and gRPC, forms. Bytes in, typed requests out, and back."""
