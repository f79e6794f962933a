"""gRPC's settings. It ignores a misspelt option silently, so each effect that shows within seconds has its test."""

from __future__ import annotations

from taskrun.adapters.grpc.address import Address

Options = tuple[tuple[str, int], ...]

MAX_MESSAGE_BYTES = 4 * 1024 * 1024

_MESSAGE_SIZES: Options = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
)

#: A frozen peer is noticed after 15 s. The keepalive timeout alone took 62 s, together with the ping timeout it is 5 s.
_KEEPALIVE: Options = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)

SERVER_OPTIONS: Options = (
    # Without this a second server binds the same port, and each gets some of the connections.
    ("grpc.so_reuseport", 0),
    *_MESSAGE_SIZES,
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 16384),
    ("grpc.server_handshake_timeout_ms", 10_000),
    *_KEEPALIVE,
    ("grpc.keepalive_permit_without_calls", 1),
    # How often a client may ping; the `min_recv_ping_interval` that is often copied does nothing.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # New calls go to a new connection after six hours. Without a grace the calls under way live on: see docs/adr/0007.
    ("grpc.max_connection_age_ms", 6 * 3600 * 1000),
)

_CHANNEL_OPTIONS: Options = (
    *_MESSAGE_SIZES,
    *_KEEPALIVE,
    # Who has several control planes comes back to one that was away: gRPC would look for it every two minutes only.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Channels do not share connections: a new one makes its own handshake, with its own certificate.
    ("grpc.use_local_subchannel_pool", 1),
)


#: One on this machine is never reached through a proxy.
_LOOPBACK: Options = (("grpc.enable_http_proxy", 0),)

#: Where there are others to try, one that takes the connection and says nothing is left after 5 s: else it would be 20.
_ONE_OF_SEVERAL: Options = (("grpc.min_reconnect_backoff_ms", 5_000),)


def channel_options(address: Address, several: bool = False) -> Options:
    """The options of a channel to this server. `several` says that there are others to go to."""
    here = _LOOPBACK if address.is_loopback else ()
    return (*_CHANNEL_OPTIONS, *here, *(_ONE_OF_SEVERAL if several else ()))
