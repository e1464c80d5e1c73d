"""Protobuf packages under schedule."""
