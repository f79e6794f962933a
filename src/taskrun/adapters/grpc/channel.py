"""Channels for asynchronous callers."""

from __future__ import annotations

import grpc

from taskrun.adapters.grpc.address import Address
from taskrun.adapters.grpc.options import channel_options
from taskrun.adapters.grpc.tls import ClientTls


def open_channel(address: Address, tls: ClientTls, several: bool = False) -> grpc.aio.Channel:
    """A channel that believes only servers whose certificate the given CA signed for their real name.

    `several` as `channel_options` takes it.
    """
    credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
    return grpc.aio.secure_channel(address.target, credentials, channel_options(address, several))
