"""Protobuf packages under failure."""
