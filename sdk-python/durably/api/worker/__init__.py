"""Protobuf packages under worker."""
