"""The depth report: will this block train at that depth, and why?"""
