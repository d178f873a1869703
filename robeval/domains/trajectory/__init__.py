"""Trajectory prediction: where will a road user be, given where it was?"""
