"""Which certificates are trusted, and which one is shown, as options of libcurl."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import certifi
import pycurl

from auth0_webhooks.connections.fields import how_to_set
from auth0_webhooks.errors import SettingError


@dataclass(frozen=True)
class Tls:
    """TLS with a webhook, and with a proxy before it.

    :param verify: whether the other side's certificate is checked.
    :param ca_file: the certificates that are trusted; None means those of the system.
    :param cert: the files of the client's certificate and key, and the key's password, as far as there are any.
    """

    verify: bool = True
    ca_file: str | None = None
    cert: tuple[str, ...] = field(repr=False, default=())

    @classmethod
    def from_extra(cls, extra: Mapping[str, Any], conn_id: str) -> Tls:
        """Read ``verify`` and ``cert`` of a connection's extra, as the http provider's hooks do.

        :raises SettingError: when they do not name usable files.
        """
        verify, cert = extra.get("verify", extra.get("verify_ssl", True)), extra.get("cert") or ()
        try:
            made = cls(
                verify=bool(verify),
                ca_file=verify if isinstance(verify, str) else None,
                # One file can hold both.
                cert=(cert, cert) if isinstance(cert, str) else tuple(cert),
            )
            # libcurl reads them only once it connects, and does not say which file is wrong.
            if made.ca_file:
                ssl.create_default_context(cafile=made.ca_file)
            if made.cert:
                ssl.create_default_context().load_cert_chain(*made.cert)
        except (OSError, TypeError) as error:
            raise SettingError(
                f"connection {conn_id!r}: extra 'verify' or 'cert' does not name a usable file ({type(error).__name__}): "
                f"{how_to_set(conn_id)}"
            ) from None
        return made

    def options(self) -> dict[int, Any]:
        """The options; None unsets one, because a build of libcurl has defaults for the system that it was built on."""
        file, folder = self.ca_file, None
        if file is None:
            system = ssl.get_default_verify_paths()
            file, folder = system.cafile, system.capath
            if not file and not folder:
                file = certifi.where()
        options: dict[int, Any] = {
            pycurl.SSL_VERIFYPEER: int(self.verify),
            pycurl.SSL_VERIFYHOST: 2 * self.verify,
            pycurl.CAINFO: file,
            pycurl.CAPATH: folder,
            pycurl.PROXY_SSL_VERIFYPEER: int(self.verify),
            pycurl.PROXY_SSL_VERIFYHOST: 2 * self.verify,
            pycurl.PROXY_CAINFO: file,
            pycurl.PROXY_CAPATH: folder,
        }
        return options | dict(zip((pycurl.SSLCERT, pycurl.SSLKEY, pycurl.KEYPASSWD), self.cert, strict=False))
