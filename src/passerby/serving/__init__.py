# SPDX-License-Identifier: Apache-2.0
"""The HTTP service: a front process that reads and guards requests, worker processes that answer them.

The front (`server`, `protocol`, `app` and its guards) runs one event loop and imports no engine; it never parses a
body, decodes or encodes. Each worker (`worker`, `answering`) holds one warm pipeline. `pool` joins the two, `jobs` has
the values that cross between them, `settings` every option and limit.
"""
