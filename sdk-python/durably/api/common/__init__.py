"""Protobuf packages under common."""
