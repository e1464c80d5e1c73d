"""Protobuf packages under google."""
