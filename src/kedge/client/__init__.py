"""A typed client of the API: `kedge.client.client.Client`, reached through `kedge.client.endpoint`.

It knows the wire format only. Answers may hold more than it knows; what the master refuses comes
back as the very `KedgeError` that the master raised.
"""
