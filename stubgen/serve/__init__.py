"""The long-lived form: JSON-RPC 2.0 in LSP's frames over two file descriptors; docs/protocol.md describes it.

::

    bytes -> frames -> messages -> methods -> server        answers go the other way

``frames`` knows where a message ends, ``messages`` what JSON-RPC says of it, ``methods`` makes a command's options
its parameters, and ``server`` runs requests in threads that share one session.

It is written here because the libraries for it do half of it: python-lsp-jsonrpc logs a frame that it cannot read
and goes on, so its client waits for ever; jsonrpcserver has neither frames nor cancellation; and both would be
the largest part of what the other commands install.
"""
