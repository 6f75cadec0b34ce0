"""What the administrator wrote, pure: a folder of YAML becomes configured values with their origin.

Reading files is the caller's work: this floor takes texts and gives back a `Site`, a diff, or
errors that name file and line.
"""
