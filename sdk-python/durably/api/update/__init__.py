"""Protobuf packages under update."""
