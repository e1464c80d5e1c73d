"""Protobuf packages under batch."""
