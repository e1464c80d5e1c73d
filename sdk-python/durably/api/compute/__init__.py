"""Protobuf packages under compute."""
