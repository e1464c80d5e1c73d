"""Protobuf packages under nexus."""
