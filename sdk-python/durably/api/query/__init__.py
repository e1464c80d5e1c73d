"""Protobuf packages under query."""
