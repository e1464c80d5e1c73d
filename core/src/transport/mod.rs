//! How bytes reach a server: a tower service that carries gRPC, whether a socket is involved or not.
