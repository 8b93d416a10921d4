"""All changes to the behaviour of KServe's SDK; each override says which behaviour of the SDK makes it necessary.

model: a service as the SDK's model; rest and grpc: its two servers; errors: its exceptions; lean: its imports.
"""
