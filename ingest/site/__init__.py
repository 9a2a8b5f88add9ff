"""The status page: what `GET /v1/status` and the records say, for people with a browser.

Rendered here, live by a small script that is part of it, and blind to everything elsewhere: no fonts, scripts or
pictures of others. Buttons ask by the same POSTs that programs use.
"""
