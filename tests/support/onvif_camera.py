"""A network camera as ONVIF describes it, strict: a request that the specifications do not allow gets a fault.

It answers probes of WS-Discovery on a multicast group, and the four requests that `edgehar devices --network` sends,
with HTTP digest (RFC 7616) or a WS-Security UsernameToken, as real cameras ask for.
"""

import base64
import contextlib
import datetime
import hashlib
import http.server
import re
import socket
import struct
import threading
from xml.etree import ElementTree

SOAP = "{http://www.w3.org/2003/05/soap-envelope}"
ADDRESSING = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}"
DISCOVERY = "{http://schemas.xmlsoap.org/ws/2005/04/discovery}"
DEVICE, MEDIA = "{http://www.onvif.org/ver10/device/wsdl}", "{http://www.onvif.org/ver10/media/wsdl}"
TYPES = "{http://www.onvif.org/ver10/schema}"
OASIS = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity"
SECEXT, UTILITY = f"{{{OASIS}-secext-1.0.xsd}}", f"{{{OASIS}-utility-1.0.xsd}}"
GROUP = "239.255.255.250"
# Name, encoding, width, height and frames a second of each profile.
STREAMS = (("main", "H264", 1920, 1080, 25), ("sub", "H264", 640, 360, 15), ("tiny", "H264", 160, 90, 15))


class OnvifCamera:
    """The camera, on ports of its own; a context manager.

    Attributes:
        asked: names of the requests, in order.
        service: address of its device service.
        discovery_port: port of the multicast group.
    """

    def __init__(
        self,
        *,
        auth=None,
        user="admin",
        password="s3cret",
        streams=STREAMS,
        ahead_s=0.0,
        name="Hall%20Cam",
        media_host=None,
        announced=None,
    ):
        self.auth, self.user, self.password, self.streams, self.ahead_s = auth, user, password, streams, ahead_s
        self.name, self.asked, self.refused, self._nonces = name, [], 0, set()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                camera._serve(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.service = f"http://127.0.0.1:{self._server.server_port}/onvif/device_service"
        self.media = self.service.replace("device_service", "media_service")
        if media_host is not None:
            self.media = self.media.replace("127.0.0.1", media_host)
        self.announced = announced or self.service
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("", 0))
        self.discovery_port = self._udp.getsockname()[1]
        loopback = struct.pack("=4s4si", socket.inet_aton(GROUP), b"\0" * 4, socket.if_nametoindex("lo"))
        self._udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, loopback)

    def __enter__(self):
        for work in (self._server.serve_forever, self._listen):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        # Wakes the thread that listens.
        with contextlib.suppress(OSError):
            self._udp.shutdown(socket.SHUT_RDWR)
        self._udp.close()

    # WS-Discovery.

    def _listen(self):
        with contextlib.suppress(OSError, ValueError):
            while True:
                data, asker = self._udp.recvfrom(65536)
                if not data:
                    return
                answer = self._answer_probe(data)
                if answer is not None:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                        out.bind(("127.0.0.1", 0))
                        out.sendto(b"not XML at all", asker)
                        out.sendto(answer, asker)

    def _answer_probe(self, data):
        root = ElementTree.fromstring(data)
        header, body = root.find(f"{SOAP}Header"), root.find(f"{SOAP}Body")
        action = header.findtext(f"{ADDRESSING}Action")
        to = header.findtext(f"{ADDRESSING}To")
        types = body.findtext(f"{DISCOVERY}Probe/{DISCOVERY}Types")
        message = header.findtext(f"{ADDRESSING}MessageID")
        if action != "http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe" or not re.fullmatch(
            r"(urn:)?uuid:[0-9a-f-]{36}", message
        ):
            return None
        if to != "urn:schemas-xmlsoap-org:ws:2005:04:discovery" or not types.endswith(":NetworkVideoTransmitter"):
            return None
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="{SOAP[1:-1]}" xmlns:wsa="{ADDRESSING[1:-1]}" xmlns:d="{DISCOVERY[1:-1]}"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><SOAP-ENV:Header>
<wsa:MessageID>uuid:00000000-0000-0000-0000-000000000001</wsa:MessageID><wsa:RelatesTo>{message}</wsa:RelatesTo>
<wsa:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To>
<wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action></SOAP-ENV:Header>
<SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch>
<wsa:EndpointReference><wsa:Address>urn:uuid:cam</wsa:Address></wsa:EndpointReference>
<d:Types>dn:NetworkVideoTransmitter</d:Types>
<d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/{self.name}
 onvif://www.onvif.org/hardware/X1</d:Scopes><d:XAddrs>{self.announced}</d:XAddrs>
<d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>
""".encode()

    # SOAP.

    def _serve(self, handler):
        data = handler.rfile.read(int(handler.headers["Content-Length"]))
        root = ElementTree.fromstring(data)
        request = next(iter(root.find(f"{SOAP}Body")))
        name = request.tag.rpartition("}")[2]
        self.asked.append(name)
        if not handler.headers["Content-Type"].startswith("application/soap+xml"):
            return self._fault(handler, "Sender", "a SOAP 1.2 request has the type application/soap+xml")
        if name != "GetSystemDateAndTime" and not self._is_allowed(handler, root):
            self.refused += 1
            if self.auth == "digest":
                return self._challenge(handler)
            return self._fault(handler, "ter:NotAuthorized", "Sender not authorized", status=400)
        if request.tag.startswith(DEVICE) != handler.path.endswith("device_service"):
            return self._fault(handler, "Receiver", "not a request to this service")
        answer = self._answers().get(name)
        if answer is None:
            return self._fault(handler, "ter:ActionNotSupported", "no such request")
        return answer(handler, request)

    def _answers(self):
        return {
            "GetSystemDateAndTime": self._time,
            "GetCapabilities": self._capabilities,
            "GetProfiles": self._profiles,
            "GetStreamUri": self._stream_uri,
        }

    def _is_allowed(self, handler, root):
        if self.auth is None:
            return True
        return self._has_digest(handler) if self.auth == "digest" else self._has_token(root)

    def _has_digest(self, handler):
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', handler.headers.get("Authorization", "")))
        if given.get("username") != self.user or given.get("nonce") not in self._nonces:
            return False

        def md5(*parts):
            return hashlib.md5(":".join(parts).encode()).hexdigest()

        secret = md5(self.user, given["realm"], self.password)
        request = md5("POST", given["uri"])
        expected = md5(secret, given["nonce"], given["nc"], given["cnonce"], "auth", request)
        return given["uri"] == handler.path and given["response"] == expected

    def _challenge(self, handler):
        nonce = hashlib.md5(str(len(self._nonces)).encode()).hexdigest()
        self._nonces.add(nonce)
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", f'Digest realm="onvif", qop="auth", nonce="{nonce}", algorithm=MD5')
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _has_token(self, root):
        token = root.find(f"{SOAP}Header/{SECEXT}Security/{SECEXT}UsernameToken")
        if token is None:
            return False
        password, nonce = token.find(f"{SECEXT}Password"), token.findtext(f"{SECEXT}Nonce")
        created = token.findtext(f"{UTILITY}Created")
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.ahead_s)
        late = now - datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
        if (
            nonce in self._nonces
            or abs(late.total_seconds()) > 60
            or not password.get("Type").endswith("#PasswordDigest")
        ):
            return False
        self._nonces.add(nonce)
        digest = hashlib.sha1(base64.b64decode(nonce) + created.encode() + self.password.encode()).digest()
        user = token.findtext(f"{SECEXT}Username")
        return (user, password.text) == (self.user, base64.b64encode(digest).decode())

    def _time(self, handler, _request):
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=self.ahead_s)
        self._reply(
            handler,
            f'<tds:GetSystemDateAndTimeResponse xmlns:tds="{DEVICE[1:-1]}" xmlns:tt="{TYPES[1:-1]}">'
            "<tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType><tt:UTCDateTime>"
            f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}"
            f"</tt:Second></tt:Time><tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month>"
            f"<tt:Day>{now.day}</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>"
            "</tds:GetSystemDateAndTimeResponse>",
        )

    def _capabilities(self, handler, request):
        if request.findtext(f"{DEVICE}Category") not in ("All", "Media"):
            return self._fault(handler, "ter:NoSuchService", "no such category")
        return self._reply(
            handler,
            f'<tds:GetCapabilitiesResponse xmlns:tds="{DEVICE[1:-1]}" xmlns:tt="{TYPES[1:-1]}"><tds:Capabilities>'
            f"<tt:Media><tt:XAddr>{self.media}</tt:XAddr></tt:Media></tds:Capabilities>"
            "</tds:GetCapabilitiesResponse>",
        )

    def _profiles(self, handler, _request):
        profiles = "".join(
            f'<trt:Profiles token="{name}&amp;1" fixed="true"><tt:Name>{name}</tt:Name>'
            f'<tt:VideoEncoderConfiguration token="e"><tt:Name>e</tt:Name><tt:Encoding>{encoding}</tt:Encoding>'
            f"<tt:Resolution><tt:Width>{width}</tt:Width><tt:Height>{height}</tt:Height></tt:Resolution>"
            f"<tt:RateControl><tt:FrameRateLimit>{rate}</tt:FrameRateLimit></tt:RateControl>"
            "</tt:VideoEncoderConfiguration></trt:Profiles>"
            for name, encoding, width, height, rate in self.streams
        )
        audio = '<trt:Profiles token="audio"><tt:Name>audio only</tt:Name></trt:Profiles>'
        self._reply(
            handler,
            f'<trt:GetProfilesResponse xmlns:trt="{MEDIA[1:-1]}" xmlns:tt="{TYPES[1:-1]}">{profiles}{audio}'
            "</trt:GetProfilesResponse>",
        )

    def _stream_uri(self, handler, request):
        setup = request.find(f"{MEDIA}StreamSetup")
        kind, protocol = setup.findtext(f"{TYPES}Stream"), setup.findtext(f"{TYPES}Transport/{TYPES}Protocol")
        if (kind, protocol) != ("RTP-Unicast", "RTSP"):
            return self._fault(handler, "ter:InvalidStreamSetup", "no such transport")
        name = request.findtext(f"{MEDIA}ProfileToken").removesuffix("&1")
        if name not in [stream[0] for stream in self.streams]:
            return self._fault(handler, "ter:NoProfile", "Profile Not Exist")
        return self._reply(
            handler,
            f'<trt:GetStreamUriResponse xmlns:trt="{MEDIA[1:-1]}" xmlns:tt="{TYPES[1:-1]}"><trt:MediaUri>'
            f"<tt:Uri>rtsp://127.0.0.1:554/{name}?a=1&amp;b=2</tt:Uri>"
            "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect></trt:MediaUri></trt:GetStreamUriResponse>",
        )

    def _fault(self, handler, code, text, status=500):
        outer = code if ":" not in code else "Sender"
        self._reply(
            handler,
            f'<s:Fault xmlns:ter="http://www.onvif.org/ver10/error"><s:Code><s:Value>s:{outer}</s:Value>'
            f"<s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Code>"
            f'<s:Reason><s:Text xml:lang="en">{text}</s:Text></s:Reason></s:Fault>',
            status,
        )

    def _reply(self, handler, body, status=200):
        data = f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP[1:-1]}"><s:Body>{body}</s:Body></s:Envelope>'.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
