"""Bytes on their way into the store: from a form, from base64 or from a URL.

It imports no other room of the gateway.
"""
