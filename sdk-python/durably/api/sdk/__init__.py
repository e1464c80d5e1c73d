"""Protobuf packages under sdk."""
