"""Protobuf packages under deployment."""
