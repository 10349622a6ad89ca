"""One folder for each independent service, and the chassis that all of them stand on.

Services share messages and nothing else: none imports another.
"""
