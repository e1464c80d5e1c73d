"""Protobuf packages under errordetails."""
