"""Connections beyond one stream and one sum: several streams, and what else is written to one."""
