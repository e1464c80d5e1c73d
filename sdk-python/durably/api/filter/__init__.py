"""Protobuf packages under filter."""
