"""Protobuf packages under protocol."""
