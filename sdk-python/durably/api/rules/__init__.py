"""Protobuf packages under rules."""
