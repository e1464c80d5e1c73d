"""Protobuf packages under replication."""
