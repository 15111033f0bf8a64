"""A VM's end of a link where one message is one frame, for a test that has the frames: each goes over standard input and output
behind its length, four bytes, big-endian.

  message-client.py seqpacket SOCKET    as User Mode Linux attaches
  message-client.py vfkit SOCKET        as vfkit does: bound beside it, its buffers, and `VFKT` first
  message-client.py krunkit SOCKET      as krunkit does: bound in the temporary folder; `VFKT` first
  message-client.py silent SOCKET       as vfkit does with vfkitMagic=off

Ends with its standard input, and removes its socket.
"""
import os
import random
import select
import socket
import struct
import sys
import tempfile
import time

MIB = 1 << 20
LARGEST = 1 << 17


def connect(link, path):
    """The socket's file is there before anybody listens on it."""
    for _ in range(500):
        try:
            return link.connect(path)
        except ConnectionRefusedError:
            time.sleep(0.01)
    link.connect(path)


def attach(kind, path):
    """The connected socket, and the file it is bound to, if any."""
    if kind == "seqpacket":
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connect(link, path)
        return link, None
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if kind == "krunkit":
        own = os.path.join(tempfile.gettempdir(), "krun-net-%d-%d.sock" % (os.getpid(), 0))
        send, receive = 7 * MIB, 7 * MIB
    else:
        own = os.path.join(os.path.dirname(path), "vfkit-%x-%x.sock" % (os.getpid(), random.getrandbits(16)))
        send, receive = MIB, 4 * MIB
    link.bind(own)
    link.connect(path)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    if kind != "silent":
        link.send(b"VFKT")
    return link, own


def read_exactly(length):
    data = b""
    while len(data) < length:
        piece = os.read(0, length - len(data))
        if not piece:
            return None
        data += piece
    return data


def write_all(data):
    while data:
        data = data[os.write(1, data):]


def carry(link):
    """Moves frames both ways until standard input ends, or the connection does."""
    stream = link.type == socket.SOCK_SEQPACKET
    while True:
        readable, _, _ = select.select([0, link], [], [])
        if link in readable:
            frame = link.recv(LARGEST)
            if stream and not frame:
                return
            write_all(struct.pack(">I", len(frame)) + frame)
        if 0 in readable:
            header = read_exactly(4)
            frame = None if header is None else read_exactly(struct.unpack(">I", header)[0])
            if frame is None:
                return
            link.send(frame)


link, own = attach(sys.argv[1], sys.argv[2])
print("ready", file=sys.stderr, flush=True)
try:
    carry(link)
finally:
    if own is not None:
        os.unlink(own)
