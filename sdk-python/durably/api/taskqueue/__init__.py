"""Protobuf packages under taskqueue."""
