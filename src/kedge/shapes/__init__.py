"""What the HTTP API takes and gives, as structs that server and client share.

A struct here is the one place that says what a question or an answer looks like: the server checks
requests against it and makes OpenAPI from it, the client decodes with it, the commands draw it.
Requests refuse keys that they do not know. Answers may gain keys in a later version, so a client
ignores those that it does not know, and a new key has a default for the answers of an older server.
"""
