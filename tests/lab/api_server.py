# SPDX-License-Identifier: Apache-2.0
"""A Kubernetes API server as small as it can be, and stricter than a real one about what it is sent.

It keeps objects under collections ("/api/v1/pods"), gives every change a resourceVersion, and serves
lists in pages, watches with bookmarks, merge patches, TokenReviews and Events over HTTP/2. What a good
client would not send is answered 400 and kept in `violations`. It misbehaves when told to.

One thread does everything; the test's calls are carried out in it.
"""
import collections
import concurrent.futures
import contextlib
import json
import os
import selectors
import socket
import ssl
import threading
import urllib.parse

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hyperframe.frame

WATCH_SECONDS = range(300, 601)
FRAME = 16384


def merged(target, patch):
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merged(target.get(key), value)
    return target


class Peer:
    """One connection."""

    def __init__(self, server, sock):
        self.server, self.sock = server, sock
        self.secure = False
        self.h2 = None
        self.bodies = {}    # stream -> [request fields, body]
        self.watches = {}   # stream -> (collection, selector)

    def readable(self):
        if not self.secure:
            self.sock.do_handshake()
            if self.sock.selected_alpn_protocol() != "h2":
                raise ssl.SSLError("no h2 was agreed on")
            self.secure = True
            self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
                client_side=False, header_encoding="utf-8"))
            self.h2.initiate_connection()
        while True:
            try:
                data = self.sock.recv(65536)
            except ssl.SSLWantReadError:
                break
            if not data:
                raise ConnectionError("ended")
            for event in self.h2.receive_data(data):
                self.on_event(event)
        self.flush()

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.bodies[event.stream_id] = [dict(event.headers), b""]
        elif isinstance(event, h2.events.DataReceived):
            self.bodies[event.stream_id][1] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            fields, body = self.bodies.pop(event.stream_id)
            self.server.on_request(self, event.stream_id, fields, body)
        elif isinstance(event, h2.events.StreamReset):
            self.bodies.pop(event.stream_id, None)
            self.watches.pop(event.stream_id, None)

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.setblocking(True)
            self.sock.sendall(data)
            self.sock.setblocking(False)

    def head(self, stream, status, more=()):
        self.h2.send_headers(stream, [(":status", str(status)), ("content-type", "application/json"),
                                      *more])

    def data(self, stream, data):
        for at in range(0, len(data), FRAME):
            self.h2.send_data(stream, data[at:at + FRAME])

    def answer(self, stream, status, body, more=()):
        self.head(stream, status, more)
        self.data(stream, json.dumps(body).encode())
        self.h2.end_stream(stream)

    def refuse(self, stream, status, message, retry_after=None):
        more = [("retry-after", str(retry_after))] if retry_after is not None else []
        self.answer(stream, status, {"kind": "Status", "apiVersion": "v1", "status": "Failure",
                                     "code": status, "message": message}, more)

    def event(self, stream, kind, thing):
        self.data(stream, json.dumps({"type": kind, "object": thing}).encode() + b"\n")


class ApiServer:
    """`collections`: {"/api/v1/pods": "Pod", ...}, whose objects can be listed, watched and patched.

    requests: every one, as (method, path and query); violations: what a good client does not do
    """

    def __init__(self, authority, directory, kinds, port=0):
        key, cert = authority.leaf([], addresses=["127.0.0.1"])
        path = os.path.join(directory, "api-server.pem")
        with open(path, "wb") as f:
            f.write(cert + key)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(path)
        self.tls.set_alpn_protocols(["h2"])
        self.kinds = kinds
        self.objects = {path: {} for path in kinds}
        self.log = []        # (version, collection, type, object)
        self.version = 100
        self.oldest = 100    # what is asked from before this is gone
        self.said = {}       # collection -> versions that this server gave away
        self.tokens = set()
        self.requests, self.violations, self.events = [], [], []
        self.accepted = 0
        self.refusals = collections.deque()  # (status, retry_after), one for each next request
        self.silent = False
        self.peers = {}
        self.jobs = collections.deque()
        self.selector = selectors.DefaultSelector()
        self.wake_read, self.wake_write = socket.socketpair()
        self.selector.register(self.wake_read, selectors.EVENT_READ)
        self.port = port
        self.listener = None
        self._listen()
        self.closing = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    # --- the thread ------------------------------------------------------------------------------

    def _listen(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.selector.register(self.listener, selectors.EVENT_READ)

    def _run(self):
        while not self.closing:
            for key, _ in self.selector.select():
                if key.fileobj is self.wake_read:
                    self.wake_read.recv(4096)
                elif key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj in self.peers:
                    self._read(self.peers[key.fileobj])
            while self.jobs:
                job, result = self.jobs.popleft()
                try:
                    result.set_result(job())
                except Exception as error:  # the test's own: it is raised there
                    result.set_exception(error)
        for peer in list(self.peers.values()):
            self._drop(peer)

    def _accept(self):
        plain, _ = self.listener.accept()
        plain.setblocking(False)
        sock = self.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        self.accepted += 1
        if self.peers:
            self.violations.append("a second connection beside the first")
        self.peers[sock] = Peer(self, sock)
        self.selector.register(sock, selectors.EVENT_READ)

    def _read(self, peer):
        try:
            peer.readable()
        except ssl.SSLWantReadError:
            pass
        except h2.exceptions.ProtocolError as error:
            self.violations.append(f"HTTP/2: {error}")
            self._drop(peer)
        except OSError:
            self._drop(peer)

    def _drop(self, peer):
        if self.peers.pop(peer.sock, None):
            self.selector.unregister(peer.sock)
            peer.sock.close()

    def _do(self, job):
        result = concurrent.futures.Future()
        self.jobs.append((job, result))
        self.wake_write.send(b"x")
        return result.result(10)

    # --- requests --------------------------------------------------------------------------------

    def on_request(self, peer, stream, fields, body):
        method, target = fields[":method"], fields[":path"]
        path, _, query = target.partition("?")
        self.requests.append((method, target))
        if self.silent:
            return
        token = fields.get("authorization", "")
        if not token.startswith("Bearer ") or token[7:] not in self.tokens:
            peer.refuse(stream, 401, "Unauthorized")
        elif self.refusals:
            status, retry_after = self.refusals.popleft()
            peer.refuse(stream, status, f"refused with {status} as told", retry_after)
        else:
            try:
                self._check(fields)
                self._route(peer, stream, (method, path, query), fields, body)
            except (ValueError, KeyError) as error:
                self.violations.append(f"{method} {target}: {error}")
                peer.refuse(stream, 400, str(error))

    def _check(self, fields):
        wanted = {":scheme": "https", ":authority": f"127.0.0.1:{self.port}",
                  "accept": "application/json"}
        for name, value in wanted.items():
            if fields.get(name) != value:
                raise ValueError(f"{name} is {fields.get(name)}, not {value}")

    def _route(self, peer, stream, request, fields, body):
        method, path, query = request
        if method == "GET" and path in self.kinds:
            asked = self._query(query)
            if asked.pop("watch", None):
                self._watch(peer, stream, path, asked)
            else:
                self._list(peer, stream, path, asked)
        elif method == "GET":
            found = self._find(path)
            if found:
                peer.answer(stream, 200, found[2])
            else:
                peer.refuse(stream, 404, "not found")
        elif method == "PATCH":
            self._patch(peer, stream, path, fields, body)
        elif method == "POST":
            self._post(peer, stream, path, fields, body)
        else:
            raise ValueError("no such method here")

    @staticmethod
    def _query(query):
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True)
        asked = dict(pairs)
        if len(asked) != len(pairs):
            raise ValueError("a parameter twice")
        return asked

    def _find(self, path):
        """A collection's object by "/api/v1/namespaces/NS/pods/NAME": (collection, key, object)."""
        for collection in self.kinds:
            root, plural = collection.rsplit("/", 1)
            parts = path.removeprefix(root + "/").split("/")
            if path.startswith(root) and len(parts) >= 4 and parts[0] == "namespaces" and parts[2] == plural:
                key = (parts[1], parts[3])
                if key in self.objects[collection]:
                    return collection, key, self.objects[collection][key]
        return None

    @staticmethod
    def _selected(thing, selector):
        name, _, value = selector.partition("=")
        for part in name.split(".") if name else ():
            thing = thing.get(part, {})
        return not name or thing == value

    def _list(self, peer, stream, collection, asked):
        limit = int(asked.pop("limit"))
        token = json.loads(asked.pop("continue", "null"))
        selector = asked.pop("fieldSelector", "")
        if asked or not 1 <= limit <= 500:
            raise ValueError(f"not for a list: {asked}, limit {limit}")
        if token and token[0] < self.oldest:
            peer.refuse(stream, 410, "The provided continue parameter is too old")
            return
        version, start = token or (self.version, 0)
        things = [o for _, o in sorted(self.objects[collection].items()) if self._selected(o, selector)]
        meta = {"resourceVersion": str(version)}
        if start + limit < len(things):
            meta["continue"] = json.dumps([version, start + limit])
        else:
            self.said.setdefault(collection, set()).add(version)
        peer.answer(stream, 200, {"kind": self.kinds[collection] + "List", "apiVersion": "v1",
                                  "metadata": meta, "items": things[start:start + limit]})

    def _watch(self, peer, stream, collection, asked):
        version = int(asked.pop("resourceVersion"))
        selector = asked.pop("fieldSelector", "")
        if asked.pop("allowWatchBookmarks") != "true" or int(asked.pop("timeoutSeconds")) not in WATCH_SECONDS:
            raise ValueError("a watch without bookmarks, or of another length")
        if asked:
            raise ValueError(f"not for a watch: {asked}")
        if version not in self.said.get(collection, ()):
            raise ValueError(f"a resourceVersion nobody gave away: {version}")
        peer.head(stream, 200)
        if version < self.oldest:
            peer.event(stream, "ERROR", {"kind": "Status", "code": 410, "reason": "Expired",
                                         "message": f"too old resource version: {version}"})
            peer.h2.end_stream(stream)
            return
        peer.watches[stream] = (collection, selector)
        for at, of, kind, thing in self.log:
            if at > version and of == collection:
                self._tell(peer, stream, kind, thing)

    def _tell(self, peer, stream, kind, thing):
        collection, selector = peer.watches[stream]
        if self._selected(thing, selector):
            self.said[collection].add(int(thing["metadata"]["resourceVersion"]))
            peer.event(stream, kind, thing)

    def _patch(self, peer, stream, path, fields, body):
        if fields.get("content-type") != "application/merge-patch+json":
            raise ValueError(f"a patch of type {fields.get('content-type')}")
        found = self._find(path.removesuffix("/status"))
        if not found:
            peer.refuse(stream, 404, "not found")
            return
        collection, key, thing = found
        self._change(collection, key, "MODIFIED", merged(thing, json.loads(body)))
        peer.answer(stream, 200, self.objects[collection][key])

    def _post(self, peer, stream, path, fields, body):
        if fields.get("content-type") != "application/json":
            raise ValueError(f"a body of type {fields.get('content-type')}")
        thing = json.loads(body)
        if path == "/apis/authentication.k8s.io/v1/tokenreviews" and thing["kind"] == "TokenReview":
            good = thing["spec"]["token"] in self.tokens
            peer.answer(stream, 201, {**thing, "status": {"authenticated": good}})
        elif path.endswith("/events") and thing["kind"] == "Event":
            self.events.append(thing)
            peer.answer(stream, 201, thing)
        else:
            raise ValueError("nothing is created here")

    # --- objects ---------------------------------------------------------------------------------

    def _change(self, collection, key, kind, thing):
        self.version += 1
        meta = {**thing.get("metadata", {}), "namespace": key[0], "name": key[1],
                "resourceVersion": str(self.version)}
        thing = {**thing, "kind": self.kinds[collection], "apiVersion": "v1", "metadata": meta}
        if kind == "DELETED":
            del self.objects[collection][key]
        else:
            self.objects[collection][key] = thing
        self.log.append((self.version, collection, kind, thing))
        for peer in self.peers.values():
            for stream in [s for s, w in peer.watches.items() if w[0] == collection]:
                self._tell(peer, stream, kind, thing)
            self._flush(peer)

    @staticmethod
    def _flush(peer):
        if peer.h2:
            with contextlib.suppress(OSError):
                peer.flush()

    def put(self, collection, namespace, name, **thing):
        """Create or change."""
        def job():
            kind = "MODIFIED" if (namespace, name) in self.objects[collection] else "ADDED"
            self._change(collection, (namespace, name), kind, thing)
        self._do(job)

    def delete(self, collection, namespace, name):
        key = (namespace, name)
        self._do(lambda: self._change(collection, key, "DELETED", self.objects[collection][key]))

    # --- on demand -------------------------------------------------------------------------------

    def _each(self, job):
        def all_of_them():
            for peer in list(self.peers.values()):
                if peer.h2:
                    job(peer)
                    self._flush(peer)
        self._do(all_of_them)

    def bookmark(self):
        def job(peer):
            for stream, (collection, _) in peer.watches.items():
                self.said[collection].add(self.version)
                peer.event(stream, "BOOKMARK", {"kind": self.kinds[collection], "metadata": {
                    "resourceVersion": str(self.version)}})
        self._each(job)

    def end_watches(self, octets=b""):
        """In order; or in the middle of these octets."""
        def job(peer):
            for stream in list(peer.watches):
                peer.data(stream, octets)
                peer.h2.end_stream(stream)
                del peer.watches[stream]
        self._each(job)

    def compact(self):
        """Nothing can be watched from what is known by now."""
        def job():
            self.version += 1
            self.oldest = self.version
        self._do(job)

    def goaway(self):
        """No more requests on this connection; its end is the client's to make."""
        def job(peer):
            # by hand, for h2 would take what the client still has to say for a mistake
            frame = hyperframe.frame.GoAwayFrame(0)
            frame.last_stream_id = max(peer.watches, default=0)
            peer.sock.setblocking(True)
            peer.sock.sendall(frame.serialize())
            peer.sock.setblocking(False)
        self._each(job)

    def drop(self):
        self._do(lambda: [self._drop(p) for p in list(self.peers.values())])

    def stop_listening(self):
        def job():
            self.selector.unregister(self.listener)
            self.listener.close()
            for peer in list(self.peers.values()):
                self._drop(peer)
        self._do(job)

    def listen_again(self):
        self._do(self._listen)

    def watching(self):
        return self._do(lambda: sum(len(p.watches) for p in self.peers.values()))

    def close(self):
        self.closing = True
        self.wake_write.send(b"x")
        self.thread.join(5)
        self.listener.close()
        self.wake_read.close()
        self.wake_write.close()
        self.selector.close()
