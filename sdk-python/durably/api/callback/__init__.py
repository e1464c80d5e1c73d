"""Protobuf packages under callback."""
