"""Trips, prices and stations of a bike rental."""
