"""Protobuf packages under command."""
