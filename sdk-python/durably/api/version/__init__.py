"""Protobuf packages under version."""
