"""Protobuf packages under namespace."""
