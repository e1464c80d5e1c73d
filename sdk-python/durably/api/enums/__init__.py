"""Protobuf packages under enums."""
