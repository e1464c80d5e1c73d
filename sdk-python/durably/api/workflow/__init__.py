"""Protobuf packages under workflow."""
