"""Which passages are shown first for a query?"""
