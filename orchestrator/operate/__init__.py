"""What people see and move: the HTTP interface, the console process and the command line.

Reads the orchestrator's database and never writes it: what an operator decides travels on a topic.
"""
