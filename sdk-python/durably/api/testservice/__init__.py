"""Protobuf packages under testservice."""
