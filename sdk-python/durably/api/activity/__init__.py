"""Protobuf packages under activity."""
