"""Imported before all else of ours: lets tests of KServe's and of Triton's generated gRPC code run in one process.

Both define the same names, and a process has one pool of them: Triton's client gets a pool of its own.
"""

import importlib

from google.protobuf import descriptor_pool

_default_pool = descriptor_pool.Default
_tritons_pool = descriptor_pool.DescriptorPool()
descriptor_pool.Default = lambda: _tritons_pool
importlib.import_module("tritonclient.grpc")
descriptor_pool.Default = _default_pool
