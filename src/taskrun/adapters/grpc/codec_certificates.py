"""Certificates between the wire and the domain."""

from __future__ import annotations

from taskrun.adapters.grpc.codec_common import checked_number
from taskrun.domain.certificates.certificate import Certificate, CertificatePage, CertificateQuery
from taskrun.v1 import certificate_service_pb2 as pb


def encode_certificate(certificate: Certificate) -> pb.Certificate:
    """A certificate that was issued."""
    return pb.Certificate(
        serial=certificate.serial,
        owner=certificate.owner,
        issued_at_ms=certificate.issued_at_ms,
        not_after_ms=certificate.not_after_ms,
        revoked_at_ms=certificate.revoked_at_ms,
    )


def decode_certificate(message: pb.Certificate) -> Certificate:
    """A certificate that was issued. Raises `InvalidArgument` for a time that is none."""
    return Certificate(
        message.serial,
        message.owner,
        checked_number(message.issued_at_ms, "issued_at_ms"),
        checked_number(message.not_after_ms, "not_after_ms"),
        checked_number(message.revoked_at_ms, "revoked_at_ms"),
    )


def encode_certificate_query(query: CertificateQuery) -> pb.ListCertificatesRequest:
    """Which certificates to list."""
    return pb.ListCertificatesRequest(owner=query.owner, page_token=query.page_token, limit=query.limit)


def decode_certificate_query(message: pb.ListCertificatesRequest) -> CertificateQuery:
    """Which certificates to list."""
    return CertificateQuery(message.owner, message.limit, message.page_token)


def encode_certificate_page(page: CertificatePage) -> pb.ListCertificatesResponse:
    """One page of certificates: at most 1000, which fit into a message."""
    return pb.ListCertificatesResponse(
        certificates=map(encode_certificate, page.certificates), next_page_token=page.next_page_token
    )


def decode_certificate_page(message: pb.ListCertificatesResponse) -> CertificatePage:
    """One page of certificates."""
    return CertificatePage(tuple(map(decode_certificate, message.certificates)), message.next_page_token)
