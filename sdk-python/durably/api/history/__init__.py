"""Protobuf packages under history."""
