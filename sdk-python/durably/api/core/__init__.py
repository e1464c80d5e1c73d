"""Protobuf packages under core."""
