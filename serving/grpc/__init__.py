"""The Open Inference Protocol v2 over gRPC, an extra on a port of its own: the same model, batches, guard and refusals.

Nothing here is imported unless `--grpc-port` is given, and grpcio only when the port is opened.
"""
