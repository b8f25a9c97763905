"""A host that counts who calls it, and files that would make GDAL call it or read another file."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from districts import LEFT, TOP


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """An address that something may call, and what those who called asked for."""
    calls: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.settimeout(5)
                        calls.append(connection.recv(4096).decode("latin-1"))
                        connection.sendall(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", calls
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def vrt(source: str) -> str:
    return (
        '<VRTDataset rasterXSize="60" rasterYSize="60"><SRS>EPSG:32639</SRS>'
        f"<GeoTransform>{LEFT}, 60, 0, {TOP}, 0, -60</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"
    )


def wms(host: str) -> str:
    return (
        f'<GDAL_WMS><Service name="TMS"><ServerUrl>http://{host}/${{z}}/${{x}}/${{y}}.png</ServerUrl></Service>'
        "<DataWindow><UpperLeftX>-2e7</UpperLeftX><UpperLeftY>2e7</UpperLeftY><LowerRightX>2e7</LowerRightX>"
        "<LowerRightY>-2e7</LowerRightY><TileLevel>3</TileLevel></DataWindow><Projection>EPSG:3857</Projection>"
        "<BandsCount>1</BandsCount></GDAL_WMS>"
    )
